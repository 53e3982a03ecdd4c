/** The messages between a runtime and the worker thread in which onnxruntime runs. */
import type { RowView } from "../graph/index.ts";
import type { DType, DTypeArrays } from "../tensor/index.ts";
import type { SharedTensor } from "./shared-memory.ts";

export interface WireTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: DTypeArrays[DType];
}

/** A host tensor, or the id of one that is already in the worker. */
export type WireFeed = WireTensor | number;

/** `DeviceWrite` with ids. */
export interface WireWrite {
  readonly output: string;
  readonly targets: readonly number[];
  readonly pieces: Int32Array;
}

export interface SessionSettings {
  readonly threads: number;
  readonly provider: string;
  readonly memoryPattern: boolean;
  readonly spin: boolean;
  readonly profile?: string;
}

/** What each call takes and gives. */
export interface Calls {
  readonly start: {
    readonly request: Record<never, never>;
    /** Whether tensors can be lent to other threads. */
    readonly reply: { readonly version: string; readonly canShare: boolean };
  };
  readonly upload: {
    readonly request: { readonly id: number; readonly tensor: WireTensor };
    readonly reply: { readonly shared: SharedTensor | undefined };
  };
  /** Another thread's tensors, which stay where they are. */
  readonly adopt: {
    readonly request: { readonly tensors: readonly (readonly [id: number, SharedTensor])[] };
    readonly reply: null;
  };
  readonly download: { readonly request: { readonly id: number }; readonly reply: WireTensor };
  readonly release: { readonly request: { readonly ids: readonly number[] }; readonly reply: null };
  readonly compile: {
    /** A model as bytes, or the path of one with external data beside it. */
    readonly request: {
      readonly program: number;
      readonly model: Uint8Array<ArrayBuffer> | string;
      /** What is fed beside the feeds of a run, out of them. */
      readonly views: readonly RowView[];
      readonly settings: SessionSettings;
    };
    readonly reply: null;
  };
  readonly run: {
    readonly request: {
      readonly program: number;
      readonly feeds: Readonly<Record<string, WireFeed>>;
      readonly fetch: readonly string[];
      /** Ids for the outputs that stay. */
      readonly keep: Readonly<Record<string, number>>;
      readonly writes: readonly WireWrite[];
    };
    readonly reply: {
      readonly outputs: Readonly<Record<string, WireTensor>>;
      readonly kept: Readonly<
        Record<string, { readonly shape: readonly number[]; readonly shared: SharedTensor | undefined }>
      >;
      readonly seconds: number;
    };
  };
  readonly dispose: { readonly request: { readonly program: number }; readonly reply: null };
  readonly close: { readonly request: Record<never, never>; readonly reply: null };
}

export type CallName = keyof Calls;

export type Request = {
  readonly [C in CallName]: { readonly call: number; readonly name: C } & Calls[C]["request"];
}[CallName];

/** Takes back a call that has not begun. */
export interface Cancel {
  readonly cancel: number;
}

export type Reply =
  | { readonly call: number; readonly value: Calls[CallName]["reply"] }
  | { readonly call: number; readonly error: WireError };

export interface WireError {
  readonly kind: "cancelled" | "failed" | "memory" | "binary";
  readonly message: string;
}
