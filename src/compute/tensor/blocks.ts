/** Matrices in blocks of 4- or 8-bit codes that share a scale: their layout, how floats become such, and back. */
import { nf4Values } from "./nf4.ts";

/**
 * What a code means: `symmetric`: (code − 8) · scale in 4 bits, code · scale in 8; `offset`: code · scale − minimum;
 * `nf4`: the code's NF4 value · scale.
 */
export type BlockCode = "symmetric" | "offset" | "nf4";

export interface BlockFormat {
  /** 4-bit codes are 0–15; 8-bit codes are signed. */
  readonly bits: 4 | 8;
  readonly code: BlockCode;
  /** Neighbours that share a scale, row after row. */
  readonly block: number;
  /** 4 bits: of so many neighbours the first half lies in the low halves of span/2 bytes, the rest in the high ones. */
  readonly span: number;
}

/** A matrix [rows, columns]; blocks follow one another row by row. */
export interface BlockTensor {
  readonly shape: readonly number[];
  readonly format: BlockFormat;
  readonly codes: Uint8Array | Int8Array;
  /** One a block. */
  readonly scale: Float32Array;
  /** One a block, for `offset`. */
  readonly minimum?: Float32Array;
}

/** Bytes that `elements` take: codes, scales and minima. */
export function blockBytes({ bits, code, block }: BlockFormat, elements: number): number {
  return (elements * bits) / 8 + ((code === "offset" ? 8 : 4) * elements) / block;
}

/** Whether `elements` are whole blocks; without, nothing below is defined. Blocks may go on in the next row. */
export function fitsBlocks(elements: number, { block, span }: BlockFormat): boolean {
  return elements % block === 0 && elements % span === 0 && span % 2 === 0;
}

/** The format in which `quantiseBlocks` writes. */
export function quantisedFormat(code: "symmetric" | "nf4", block: number): BlockFormat {
  return { bits: 4, code, block, span: block };
}

/**
 * 4-bit codes for `values`, a whole number of blocks. `symmetric`: ggml's rule for Q4_0, where the value of largest
 * magnitude becomes code 0 (−8 steps) exactly; the scale stays float32. `nf4`: bitsandbytes' rule, the nearest value
 * of x / max |x| with ties to the lower one; codes and scales are equal to its own.
 */
export function quantiseBlocks(
  values: Float32Array,
  shape: readonly number[],
  code: "symmetric" | "nf4",
  block: number,
): BlockTensor {
  const format = quantisedFormat(code, block);
  const blocks = values.length / block;
  const half = block / 2;
  const codes = new Uint8Array(values.length / 2);
  const scale = new Float32Array(blocks);
  const codeOf = code === "nf4" ? nf4Code : symmetricCode;
  for (let b = 0; b < blocks; b++) {
    const from = b * block;
    let most = 0;
    for (let i = from; i < from + block; i++) if (Math.abs(values[i]!) > Math.abs(most)) most = values[i]!;
    const step = code === "nf4" ? Math.abs(most) : Math.fround(most / -8);
    scale[b] = step;
    // Of a step too short to have one, nothing is left but zeros.
    const inverse = Math.abs(step) < leastStep ? 0 : Math.fround(1 / step);
    for (let i = 0; i < half; i++) {
      const low = codeOf(Math.fround(values[from + i]! * inverse));
      const high = codeOf(Math.fround(values[from + half + i]! * inverse));
      codes[from / 2 + i] = low | (high << 4);
    }
  }
  return { shape, format, codes, scale };
}

/** Below it 1 / step is no float32. */
const leastStep = 2 ** -127;

const symmetricCode = (steps: number): number => Math.min(15, Math.trunc(steps + 8.5));

/** Half way between neighbours, in float32. */
const nf4Bounds = Float32Array.from(
  { length: 15 },
  (_, i) => Math.fround(nf4Values[i]! + nf4Values[i + 1]!) / 2,
);

/** How many bounds are below: four halvings of sixteen. */
function nf4Code(value: number): number {
  let code = value > nf4Bounds[7]! ? 8 : 0;
  if (value > nf4Bounds[code + 3]!) code += 4;
  if (value > nf4Bounds[code + 1]!) code += 2;
  return value > nf4Bounds[code]! ? code + 1 : code;
}

/** The float32 matrix that the blocks stand for, bit for bit what a graph computes of them. */
export function dequantiseBlocks({ format, codes, scale, minimum }: BlockTensor): Float32Array {
  const { bits, code, block, span } = format;
  const elements = scale.length * block;
  const values = new Float32Array(elements);
  const half = span / 2;
  const valueOf = code === "nf4" ? (q: number) => nf4Values[q]! : (q: number) => q;
  const zero = code === "symmetric" && bits === 4 ? 8 : 0;
  for (let i = 0; i < elements; i++) {
    let q = codes[i]!;
    if (bits === 4) {
      const within = i % span;
      const byte = codes[(i - within) / 2 + (within % half)]!;
      q = within < half ? byte & 15 : byte >> 4;
    }
    const b = Math.floor(i / block);
    const product = Math.fround(valueOf(q - zero) * scale[b]!);
    values[i] = minimum === undefined ? product : product - minimum[b]!;
  }
  return values;
}
