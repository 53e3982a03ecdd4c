/** The block formats of ggml, decoded to float32 exactly as the gguf reference does. Source: ggml-quants.c, gguf-py quants.py. */
import { float16Values } from "../../compute/tensor/index.ts";

/** Decodes whole blocks of `bytes` into `out`, from its start. */
export type Dequantize = (bytes: Uint8Array, out: Float32Array) => void;

const half = (b: Uint8Array, at: number): number => float16Values[b[at]! | (b[at + 1]! << 8)]!;

/** 32 elements in 34 bytes: d f16, 32 × int8. */
export const dequantizeQ8_0: Dequantize = (b, out) => {
  const q = new Int8Array(b.buffer, b.byteOffset, b.length);
  for (let at = 0, o = 0; at < b.length; at += 34, o += 32) {
    const d = half(b, at);
    for (let i = 0; i < 32; i++) out[o + i] = q[at + 2 + i]! * d;
  }
};

/** 32 elements in 18 bytes: d f16, 16 × two nibbles; the low nibbles are the first half. */
export const dequantizeQ4_0: Dequantize = (b, out) => {
  for (let at = 0, o = 0; at < b.length; at += 18, o += 32) {
    const d = half(b, at);
    for (let i = 0; i < 16; i++) {
      const q = b[at + 2 + i]!;
      out[o + i] = ((q & 15) - 8) * d;
      out[o + i + 16] = ((q >> 4) - 8) * d;
    }
  }
};

/** 32 elements in 20 bytes: d f16, m f16, 16 × two nibbles. */
export const dequantizeQ4_1: Dequantize = (b, out) => {
  for (let at = 0, o = 0; at < b.length; at += 20, o += 32) {
    const d = half(b, at);
    const m = half(b, at + 2);
    for (let i = 0; i < 16; i++) {
      const q = b[at + 4 + i]!;
      out[o + i] = (q & 15) * d + m;
      out[o + i + 16] = (q >> 4) * d + m;
    }
  }
};

/** 32 elements in 22 bytes: d f16, 32 fifth bits, 16 × two nibbles. */
export const dequantizeQ5_0: Dequantize = (b, out) => {
  for (let at = 0, o = 0; at < b.length; at += 22, o += 32) {
    const d = half(b, at);
    const high = b[at + 2]! | (b[at + 3]! << 8) | (b[at + 4]! << 16) | (b[at + 5]! << 24);
    for (let i = 0; i < 16; i++) {
      const q = b[at + 6 + i]!;
      out[o + i] = (((q & 15) | (((high >>> i) & 1) << 4)) - 16) * d;
      out[o + i + 16] = (((q >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16) * d;
    }
  }
};

/** 32 elements in 24 bytes: d f16, m f16, 32 fifth bits, 16 × two nibbles. */
export const dequantizeQ5_1: Dequantize = (b, out) => {
  for (let at = 0, o = 0; at < b.length; at += 24, o += 32) {
    const d = half(b, at);
    const m = half(b, at + 2);
    const high = b[at + 4]! | (b[at + 5]! << 8) | (b[at + 6]! << 16) | (b[at + 7]! << 24);
    for (let i = 0; i < 16; i++) {
      const q = b[at + 8 + i]!;
      out[o + i] = ((q & 15) | (((high >>> i) & 1) << 4)) * d + m;
      out[o + i + 16] = ((q >> 4) | (((high >>> (i + 16)) & 1) << 4)) * d + m;
    }
  }
};

/**
 * The 6-bit scale and minimum of sub-block `j` (0–7) of Q4_K and Q5_K, packed in 12 bytes at `at`:
 * the first four lie in the low bits, the last four are split between the high bits and the last four bytes.
 */
export function kScale(b: Uint8Array, at: number, j: number): number {
  return j < 4 ? b[at + j]! & 63 : (b[at + j + 4]! & 15) | ((b[at + j - 4]! >> 6) << 4);
}

export function kMinimum(b: Uint8Array, at: number, j: number): number {
  return j < 4 ? b[at + j + 4]! & 63 : (b[at + j + 4]! >> 4) | ((b[at + j]! >> 6) << 4);
}

/** 256 elements in 144 bytes: d f16, dmin f16, 12 bytes of scales, 128 × two nibbles. */
export const dequantizeQ4_K: Dequantize = (b, out) => {
  for (let at = 0, o = 0; at < b.length; at += 144, o += 256) {
    const d = half(b, at);
    const dMinimum = half(b, at + 2);
    for (let j = 0; j < 8; j += 2) {
      const low = d * kScale(b, at + 4, j);
      const lowMinimum = dMinimum * kMinimum(b, at + 4, j);
      const high = d * kScale(b, at + 4, j + 1);
      const highMinimum = dMinimum * kMinimum(b, at + 4, j + 1);
      for (let i = 0; i < 32; i++) {
        const q = b[at + 16 + 16 * j + i]!;
        out[o + 32 * j + i] = low * (q & 15) - lowMinimum;
        out[o + 32 * j + 32 + i] = high * (q >> 4) - highMinimum;
      }
    }
  }
};

/** 256 elements in 176 bytes: as Q4_K, with 32 bytes of fifth bits (bit j of byte i is element i of sub-block j). */
export const dequantizeQ5_K: Dequantize = (b, out) => {
  for (let at = 0, o = 0; at < b.length; at += 176, o += 256) {
    const d = half(b, at);
    const dMinimum = half(b, at + 2);
    for (let j = 0; j < 8; j += 2) {
      const low = d * kScale(b, at + 4, j);
      const lowMinimum = dMinimum * kMinimum(b, at + 4, j);
      const high = d * kScale(b, at + 4, j + 1);
      const highMinimum = dMinimum * kMinimum(b, at + 4, j + 1);
      for (let i = 0; i < 32; i++) {
        const q = b[at + 48 + 16 * j + i]!;
        const fifth = b[at + 16 + i]! >> j;
        out[o + 32 * j + i] = low * ((q & 15) | ((fifth & 1) << 4)) - lowMinimum;
        out[o + 32 * j + 32 + i] = high * ((q >> 4) | ((fifth & 2) << 3)) - highMinimum;
      }
    }
  }
};

/** 256 elements in 210 bytes: 128 low nibbles, 64 bytes of upper bit pairs, 16 × int8 scales, d f16. */
export const dequantizeQ6_K: Dequantize = (b, out) => {
  const signed = new Int8Array(b.buffer, b.byteOffset, b.length);
  for (let at = 0, o = 0; at < b.length; at += 210, o += 256) {
    const d = half(b, at + 208);
    for (let h = 0; h < 2; h++) {
      const low = at + 64 * h;
      const high = at + 128 + 32 * h;
      const scales = at + 192 + 8 * h;
      const to = o + 128 * h;
      for (let i = 0; i < 32; i++) {
        const s = scales + (i >> 4);
        const a = b[low + i]!;
        const c = b[low + 32 + i]!;
        const bits = b[high + i]!;
        out[to + i] = d * signed[s]! * (((a & 15) | ((bits & 3) << 4)) - 32);
        out[to + i + 32] = d * signed[s + 2]! * (((c & 15) | ((bits & 12) << 2)) - 32);
        out[to + i + 64] = d * signed[s + 4]! * (((a >> 4) | (bits & 48)) - 32);
        out[to + i + 96] = d * signed[s + 6]! * (((c >> 4) | ((bits & 192) >> 2)) - 32);
      }
    }
  }
};
