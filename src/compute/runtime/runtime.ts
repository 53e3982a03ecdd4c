/** What every runtime offers: tensors that stay on the device, programs compiled from graphs, runs. */
import type { Graph } from "../graph/index.ts";
import type { DType, Tensor } from "../tensor/index.ts";

/** A tensor that lives with the runtime until it is released. */
export interface DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly id: number;
}

export type Feed = Tensor | DeviceTensor;

/** Pieces of an output that are copied into tensors on the device when the run is done, as a key-value cache grows. */
export interface DeviceWrite<Out extends string = string> {
  readonly output: Out;
  /** Of the output's element type. */
  readonly targets: readonly DeviceTensor[];
  /** Four numbers a piece: index in `targets`, first element in the output, first element in the target, count. */
  readonly pieces: Int32Array;
}

export interface RunOptions<Out extends string = string> {
  /** Outputs that stay on the device. */
  readonly keep?: readonly Out[];
  /** Outputs to bring back; default: all that are not kept. One that is neither is never copied. */
  readonly fetch?: readonly Out[];
  readonly write?: readonly DeviceWrite<Out>[];
  /** Aborting rejects with `CancelledError`; a run under way ends unheard and the runtime stays usable. */
  readonly signal?: AbortSignal;
  /** In which of the program's lanes, from 0; one lane runs one thing at a time. Default 0. */
  readonly lane?: number;
}

export interface RunResult<Out extends string = string> {
  readonly outputs: Readonly<Record<Out, Tensor>>;
  readonly kept: Readonly<Record<Out, DeviceTensor>>;
  /** Wall-clock seconds of the computation itself, without transfers to and from the caller. */
  readonly seconds: number;
}

export interface Program<In extends string = string, Out extends string = string> extends AsyncDisposable {
  readonly name: string;
  readonly inputs: readonly In[];
  readonly outputs: readonly Out[];
  run(feeds: Readonly<Record<In, Feed>>, options?: RunOptions<Out>): Promise<RunResult<Out>>;
}

export interface CompileOptions {
  /** What errors call the program; default "program". */
  readonly name?: string;
  /** Rewrites the graph first, in order; default the pipeline of `optimize`. `[]` compiles it as it is. */
  readonly passes?: readonly ((graph: Graph) => Graph)[];
  /** Plans memory ahead for fixed shapes: no faster for training steps and takes up to 1.7 times the memory. */
  readonly memoryPattern?: boolean;
  /**
   * Whether its threads wait busily for what comes next (default). They do so for tens of milliseconds after a run, and
   * take the processor from another program that runs then: off for one that runs between the runs of a busy one.
   */
  readonly spin?: boolean;
  /**
   * Runs of it that may be under way at once, each with its share of the threads; default 1. Lanes never wait for one
   * another, as the threads of one run do at every node. Where there are fewer threads, or a
   * device or platform has but one lane, runs follow one another, with the same results.
   */
  readonly lanes?: number;
  /** Hands constants over in a file when together they have more bytes than this; default 1.5e9. */
  readonly externalFrom?: number;
  /** Writes a trace of every node's time under this path prefix when the program is disposed. */
  readonly profile?: string;
}

export interface MemoryUse {
  /** Most bytes the process has had resident. */
  readonly peakBytes: number;
  readonly residentBytes: number;
}

export interface Runtime extends AsyncDisposable {
  readonly name: string;
  readonly threads: number;
  /** Copies a tensor to the device; with `transfer` its memory moves instead and the caller's array becomes empty. */
  upload(tensor: Tensor, options?: { readonly transfer?: boolean }): Promise<DeviceTensor>;
  download(tensor: DeviceTensor): Promise<Tensor>;
  release(tensor: DeviceTensor): Promise<void>;
  /** Puts new data of the same type and shape into a tensor on the device. */
  overwrite(tensor: DeviceTensor, data: Tensor): Promise<void>;
  compile<In extends string = string, Out extends string = string>(
    graph: Graph,
    options?: CompileOptions,
  ): Promise<Program<In, Out>>;
  memory(): Promise<MemoryUse>;
}

export function isDeviceTensor(feed: Feed): feed is DeviceTensor {
  return !("data" in feed);
}
