/**
 * One thread's tensors in another thread, without a copy. JavaScript's own shared memory will not do: onnxruntime-node takes no
 * tensor that lies in it, and its results lie in memory of its own.
 */
import { dtypes } from "../tensor/index.ts";
import type { WireTensor } from "./protocol.ts";

/** A tensor by the address of its elements in this process. */
export interface SharedTensor extends Pick<WireTensor, "dtype" | "shape"> {
  readonly address: bigint;
}

export interface SharedMemory {
  /** Whoever owns `tensor` has to keep it for as long as anyone uses the answer. */
  readonly share: (tensor: WireTensor) => SharedTensor;
  readonly adopt: (shared: SharedTensor) => WireTensor;
}

/** Absent where the library that reads addresses has no binary. */
export async function sharedMemory(): Promise<SharedMemory | undefined> {
  const koffi = await import("koffi").catch(() => undefined);
  if (koffi === undefined) return undefined;
  return {
    share: ({ dtype, shape, data }) => ({
      dtype,
      shape,
      // Asking for its buffer moves a small array out of the heap, where it would not stay in its place.
      address: koffi.address(data.buffer) + BigInt(data.byteOffset),
    }),
    adopt: ({ dtype, shape, address }) => {
      const { bytes, array } = dtypes[dtype];
      const length = shape.reduce((size, dim) => size * dim, 1);
      const buffer = length === 0 ? new ArrayBuffer(0) : koffi.view(address, length * bytes);
      return { dtype, shape, data: new array(buffer, 0, length) };
    },
  };
}
