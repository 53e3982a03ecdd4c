/** Where weights come from: named tensors that are read one at a time, as float32 or as they are stored. */
import { type Tensor, tensorBytes } from "../../compute/tensor/index.ts";
import { UserError, nearest } from "../../util/index.ts";
import type { StorageType } from "./storage-formats.ts";

export interface WeightInfo {
  /** The storage type as the file names it: `F32`, `BF16`, `Q4_K` … */
  readonly storage: string;
  /** The checkpoint's order: [out, in] for a linear layer. */
  readonly shape: readonly number[];
  /** Bytes in the file. */
  readonly bytes: number;
  /** Whether `read` and `readRaw` know this storage type. */
  readonly readable: boolean;
}

export interface RawWeight {
  readonly storage: StorageType;
  readonly shape: readonly number[];
  /** Row-major; a row holds whole blocks of the storage type. */
  readonly bytes: Uint8Array;
}

/** Reads lazily: opening parses headers only; `read` touches just the tensor's own bytes. Safe to call concurrently. */
export interface WeightStore {
  names(): readonly string[];
  find(name: string): WeightInfo | undefined;
  /** Like `find`; a `UserError` when there is none. */
  info(name: string): WeightInfo;
  /** The tensor in float32. The caller owns the memory. */
  read(name: string): Promise<Tensor<"float32">>;
  /** The tensor as it is stored, rows in the checkpoint's order. */
  readRaw(name: string): Promise<RawWeight>;
  /** Elements of all tensors. */
  totalParameters(): number;
  close(): Promise<void>;
}

/** A store over tensors in memory, for tests and freshly initialised models. `read` copies. */
export function memoryWeights(tensors: Iterable<readonly [string, Tensor<"float32">]>): WeightStore {
  const entries = new Map(tensors);
  const infos = new Map(
    [...entries].map(([name, { shape, data }]) => [
      name,
      { storage: "F32", shape, bytes: data.byteLength, readable: true },
    ]),
  );
  return storeOver("the model in memory", infos, {
    read: async (name) => {
      const { dtype, shape, data } = entries.get(name)!;
      return { dtype, shape, data: data.slice() };
    },
    readRaw: async (name) => {
      const value = entries.get(name)!;
      return { storage: "F32", shape: value.shape, bytes: tensorBytes(value).slice() };
    },
    close: async () => entries.clear(),
  });
}

export interface StoreSource {
  /** Called only with names that exist. */
  read(name: string): Promise<Tensor<"float32">>;
  readRaw(name: string): Promise<RawWeight>;
  close(): Promise<void>;
}

/** The part that every store shares: look-ups by name with clear errors. `at` names the model for messages. */
export function storeOver(
  at: string,
  infos: ReadonlyMap<string, WeightInfo>,
  source: StoreSource,
): WeightStore {
  let closed = false;
  const info = (name: string): WeightInfo => {
    const found = infos.get(name);
    if (found !== undefined) return found;
    const near = nearest(name, infos.keys());
    throw new UserError(`there is no weight named ${JSON.stringify(name)}`, {
      at,
      next: near === undefined ? "Check that this is the right model." : `Did you mean ${near}?`,
    });
  };
  const check = (name: string): void => {
    if (closed) throw new Error(`the weights of ${at} are closed`);
    const { readable, storage } = info(name);
    if (readable) return;
    throw new UserError(`${name} is stored as ${storage}, which cannot be read`, {
      at,
      next: "Take a checkpoint in F32, F16 or BF16.",
    });
  };
  return {
    names: () => [...infos.keys()],
    find: (name) => infos.get(name),
    info,
    read: async (name) => {
      check(name);
      return source.read(name);
    },
    readRaw: async (name) => {
      check(name);
      return source.readRaw(name);
    },
    totalParameters: () =>
      [...infos.values()].reduce(
        (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
        0,
      ),
    close: async () => {
      if (closed) return;
      closed = true;
      await source.close();
    },
  };
}
