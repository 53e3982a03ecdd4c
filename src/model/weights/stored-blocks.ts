/** Weights as their file stores them in blocks, taken apart into codes and scales without becoming floats. */
import { type BlockFormat, type BlockTensor, float16Values } from "../../compute/tensor/index.ts";
import { kMinimum, kScale } from "./dequantize.ts";
import { type StorageType, storageFormats } from "./storage-formats.ts";
import type { RawWeight } from "./weight-store.ts";

/** Where one block of the file's goes. `at` is its first byte, `to` its first element. */
type TakeApart = (bytes: Uint8Array, at: number, to: number, into: Parts) => void;

interface Parts {
  readonly codes: Uint8Array | Int8Array;
  readonly scale: Float32Array;
  readonly minimum: Float32Array;
}

const half = (bytes: Uint8Array, at: number): number => float16Values[bytes[at]! | (bytes[at + 1]! << 8)]!;
const fourBits = (code: "symmetric" | "offset", span: number): BlockFormat => ({
  bits: 4,
  code,
  block: 32,
  span,
});
const eightBits = (code: "symmetric" | "offset", block: number): BlockFormat => ({
  bits: 8,
  code,
  block,
  span: block,
});

/** One row a block format of ggml (see dequantize.ts for their layouts); 5 and 6 bits are held as 8. */
const blockTypes: Partial<
  Record<StorageType, { readonly format: BlockFormat; readonly takeApart: TakeApart }>
> = {
  Q8_0: {
    format: eightBits("symmetric", 32),
    takeApart: (bytes, at, to, { codes, scale }) => {
      scale[to / 32] = half(bytes, at);
      codes.set(new Int8Array(bytes.buffer, bytes.byteOffset + at + 2, 32), to);
    },
  },
  Q4_0: {
    format: fourBits("symmetric", 32),
    takeApart: (bytes, at, to, { codes, scale }) => {
      scale[to / 32] = half(bytes, at);
      codes.set(bytes.subarray(at + 2, at + 18), to / 2);
    },
  },
  Q4_1: {
    format: fourBits("offset", 32),
    takeApart: (bytes, at, to, { codes, scale, minimum }) => {
      scale[to / 32] = half(bytes, at);
      minimum[to / 32] = -half(bytes, at + 2);
      codes.set(bytes.subarray(at + 4, at + 20), to / 2);
    },
  },
  Q5_0: {
    format: eightBits("symmetric", 32),
    takeApart: (bytes, at, to, { codes, scale }) => {
      scale[to / 32] = half(bytes, at);
      fifthBits(bytes, at + 2, at + 6, 16, to, codes);
    },
  },
  Q5_1: {
    format: eightBits("offset", 32),
    takeApart: (bytes, at, to, { codes, scale, minimum }) => {
      scale[to / 32] = half(bytes, at);
      minimum[to / 32] = -half(bytes, at + 2);
      fifthBits(bytes, at + 4, at + 8, 0, to, codes);
    },
  },
  Q4_K: {
    // Two sub-blocks share 32 bytes: one has their low halves, the next the high ones.
    format: fourBits("offset", 64),
    takeApart: (bytes, at, to, into) => {
      kScales(bytes, at, to, into);
      into.codes.set(bytes.subarray(at + 16, at + 144), to / 2);
    },
  },
  Q5_K: {
    format: eightBits("offset", 32),
    takeApart: (bytes, at, to, into) => {
      kScales(bytes, at, to, into);
      for (let i = 0; i < 256; i++) {
        const sub = i >> 5;
        const byte = bytes[at + 48 + 32 * (sub >> 1) + (i & 31)]!;
        const fifth = (bytes[at + 16 + (i & 31)]! >> sub) & 1;
        into.codes[to + i] = ((sub & 1) === 0 ? byte & 15 : byte >> 4) | (fifth << 4);
      }
    },
  },
  Q6_K: {
    format: eightBits("symmetric", 16),
    takeApart: (bytes, at, to, { codes, scale }) => {
      const d = half(bytes, at + 208);
      for (let sub = 0; sub < 16; sub++) scale[to / 16 + sub] = d * ((bytes[at + 192 + sub]! << 24) >> 24);
      for (let i = 0; i < 256; i++) {
        // 128 elements share 64 bytes of low halves and 32 bytes of upper pairs.
        const [part, quarter, within] = [i >> 7, (i >> 5) & 3, i & 31];
        const byte = bytes[at + 64 * part + 32 * (quarter & 1) + within]!;
        const low = quarter < 2 ? byte & 15 : byte >> 4;
        const upper = (bytes[at + 128 + 32 * part + within]! >> (2 * quarter)) & 3;
        codes[to + i] = (low | (upper << 4)) - 32;
      }
    },
  },
};

/** The storage types that `storedBlocks` takes apart. */
export const storedBlockTypes = Object.keys(blockTypes) as readonly StorageType[];

/** The format of a storage type's blocks; `undefined` for one without blocks, such as BF16. */
export function storedBlockFormat(storage: string): BlockFormat | undefined {
  return blockTypes[storage as StorageType]?.format;
}

/** The blocks of a weight as stored: dequantised they are bit for bit what `read` gives. `undefined` as above. */
export function storedBlocks({ storage, shape, bytes }: RawWeight): BlockTensor | undefined {
  const type = blockTypes[storage];
  if (type === undefined) return undefined;
  const { format, takeApart } = type;
  const { blockBytes, blockElements } = storageFormats[storage];
  const elements = (bytes.length / blockBytes) * blockElements;
  const parts: Parts = {
    codes: format.bits === 4 ? new Uint8Array(elements / 2) : new Int8Array(elements),
    scale: new Float32Array(elements / format.block),
    minimum: new Float32Array(format.code === "offset" ? elements / format.block : 0),
  };
  for (let at = 0, to = 0; at < bytes.length; at += blockBytes, to += blockElements)
    takeApart(bytes, at, to, parts);
  const { codes, scale, minimum } = parts;
  return { shape, format, codes, scale, ...(format.code === "offset" ? { minimum } : {}) };
}

/** Q5_0 and Q5_1: bit i of four bytes is the fifth bit of element i. */
function fifthBits(
  bytes: Uint8Array,
  highAt: number,
  lowAt: number,
  zero: number,
  to: number,
  codes: Uint8Array | Int8Array,
): void {
  for (let i = 0; i < 32; i++) {
    const byte = bytes[lowAt + (i & 15)]!;
    const fifth = (bytes[highAt + (i >> 3)]! >> (i & 7)) & 1;
    codes[to + i] = ((i < 16 ? byte & 15 : byte >> 4) | (fifth << 4)) - zero;
  }
}

/** Scales and minima of the eight sub-blocks of Q4_K and Q5_K; the products are exact in float32. */
function kScales(bytes: Uint8Array, at: number, to: number, { scale, minimum }: Parts): void {
  const [d, dMinimum] = [half(bytes, at), half(bytes, at + 2)];
  for (let sub = 0; sub < 8; sub++) {
    scale[to / 32 + sub] = d * kScale(bytes, at + 4, sub);
    minimum[to / 32 + sub] = dMinimum * kMinimum(bytes, at + 4, sub);
  }
}
