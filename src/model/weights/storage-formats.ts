/** How weights lie in a file: each storage type's block size and its way to float32, as one table. */
import { endianness } from "node:os";
import {
  type Dequantize,
  dequantizeQ4_0,
  dequantizeQ4_1,
  dequantizeQ4_K,
  dequantizeQ5_0,
  dequantizeQ5_1,
  dequantizeQ5_K,
  dequantizeQ6_K,
  dequantizeQ8_0,
} from "./dequantize.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "../../compute/tensor/index.ts";

export interface StorageFormat {
  /** Elements that share a block; a row holds whole blocks. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Decodes whole blocks: `bytes` → `out`, from the start of each. */
  readonly toFloat32: Dequantize;
}

const words = (bytes: Uint8Array): Uint16Array => {
  // A view needs an even offset; bytes cut from a larger buffer may not have one.
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, bytes.length / 2);
};

export const storageFormats = {
  F32: {
    blockElements: 1,
    blockBytes: 4,
    toFloat32: (bytes, out) => new Uint8Array(out.buffer, out.byteOffset, bytes.length).set(bytes),
  },
  F16: { blockElements: 1, blockBytes: 2, toFloat32: (bytes, out) => float16ToFloat32(words(bytes), out) },
  BF16: { blockElements: 1, blockBytes: 2, toFloat32: (bytes, out) => bfloat16ToFloat32(words(bytes), out) },
  Q8_0: { blockElements: 32, blockBytes: 34, toFloat32: dequantizeQ8_0 },
  Q4_0: { blockElements: 32, blockBytes: 18, toFloat32: dequantizeQ4_0 },
  Q4_1: { blockElements: 32, blockBytes: 20, toFloat32: dequantizeQ4_1 },
  Q5_0: { blockElements: 32, blockBytes: 22, toFloat32: dequantizeQ5_0 },
  Q5_1: { blockElements: 32, blockBytes: 24, toFloat32: dequantizeQ5_1 },
  Q4_K: { blockElements: 256, blockBytes: 144, toFloat32: dequantizeQ4_K },
  Q5_K: { blockElements: 256, blockBytes: 176, toFloat32: dequantizeQ5_K },
  Q6_K: { blockElements: 256, blockBytes: 210, toFloat32: dequantizeQ6_K },
} as const satisfies Record<string, StorageFormat>;

export type StorageType = keyof typeof storageFormats;

export function isStorageType(name: string): name is StorageType {
  return Object.hasOwn(storageFormats, name);
}

/** Bytes of `elements` elements, a multiple of the block. */
export function storageBytes(storage: StorageType, elements: number): number {
  const { blockElements, blockBytes } = storageFormats[storage];
  return (elements / blockElements) * blockBytes;
}

if (endianness() !== "LE") {
  throw new Error("Attune reads weights in place and needs a little-endian machine");
}
