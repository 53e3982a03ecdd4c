/** The language-model and quantised ops, as the documents of onnxruntime and ONNX define them. */
import { elementCount, roundHalfEven } from "../../tensor/index.ts";
import { type Wide, around, build, fill } from "./array.ts";
import { product } from "./layout.ts";
import type { ReferenceTable } from "./table.ts";

function rmsNormalise(x: Wide, scale: Wide, epsilon: number): { normalised: Wide; inverse: Wide } {
  const { size } = around(x.shape, -1);
  const inverse = fill("float32", [...x.shape.slice(0, -1), 1], (row) => {
    let squares = 0;
    for (let i = 0; i < size; i++) squares += x.data[row * size + i]! ** 2;
    return 1 / Math.sqrt(squares / size + epsilon);
  });
  const normalised = fill(x.dtype, x.shape, (i) => {
    return x.data[i]! * inverse.data[Math.floor(i / size)]! * scale.data[i % size]!;
  });
  return { normalised, inverse };
}

/** Rotates pairs of one head's vector at `from` by the angles of `position`; RoFormer, arXiv:2104.09864. */
function rotate(
  from: Float64Array,
  width: number,
  position: number,
  cos: Wide,
  sin: Wide,
  interleaved: boolean,
): Float64Array {
  const half = width / 2;
  if (position < 0 || position >= cos.shape[0]!) {
    throw new Error(`RotaryEmbedding: position ${position} is outside the ${cos.shape[0]} of the tables`);
  }
  const to = new Float64Array(width);
  for (let i = 0; i < half; i++) {
    const [a, b] = interleaved ? [2 * i, 2 * i + 1] : [i, i + half];
    const c = cos.data[position * half + i]!;
    const s = sin.data[position * half + i]!;
    to[a] = from[a]! * c - from[b]! * s;
    to[b] = from[b]! * c + from[a]! * s;
  }
  return to;
}

/** A scalar, or one value a line along `axis` of `shape`. */
function perAxis(values: Wide, shape: readonly number[], axis: number): (i: number) => number {
  if (values.data.length === 1) return () => values.data[0]!;
  const { size, inner } = around(shape, axis);
  return (i) => values.data[Math.floor(i / inner) % size]!;
}

/** A zero point or scale that is absent (0), a scalar, or one value a row or column. */
const each = (values: Wide | undefined) => {
  return (at: number): number =>
    values === undefined ? 0 : values.data.length === 1 ? values.data[0]! : values.data[at]!;
};

const range = { uint8: [0, 255], int8: [-128, 127] } as const;

/** What is not a number becomes the lowest. */
function saturate(dtype: "uint8" | "int8", value: number): number {
  const [low, high] = range[dtype];
  return value > low ? Math.min(high, value) : low;
}

/** float → uint8 over the tensor's whole range, 0 included: ONNX's DynamicQuantizeLinear. */
function quantiseDynamically(x: Wide): { q: Wide; scale: number; zero: number } {
  const top = x.data.reduce((a, b) => Math.max(a, b), 0);
  const bottom = x.data.reduce((a, b) => Math.min(a, b), 0);
  const scale = top === bottom ? 1 : (top - bottom) / 255;
  const zero = saturate("uint8", roundHalfEven(-bottom / scale));
  const q = fill("uint8", x.shape, (i) => saturate("uint8", roundHalfEven(x.data[i]! / scale) + zero));
  return { q, scale, zero };
}

export const modelKernels = {
  SimplifiedLayerNormalization: ([x, scale], { epsilon }) => {
    const { normalised, inverse } = rmsNormalise(x!, scale!, epsilon);
    return [normalised, inverse];
  },
  SkipSimplifiedLayerNormalization: ([x, skip, scale], { epsilon }) => {
    const sum = fill(x!.dtype, x!.shape, (i) => x!.data[i]! + skip!.data[i]!);
    return [rmsNormalise(sum, scale!, epsilon).normalised, sum];
  },
  RotaryEmbedding: ([x, positions, cos, sin], { interleaved, num_heads }) => {
    const width = x!.shape[2]! / num_heads;
    return [
      build(x!.dtype, x!.shape, (into) => {
        for (let head = 0; head * width < into.length; head++) {
          const position = positions!.data[Math.floor(head / num_heads)]!;
          const from = x!.data.subarray(head * width, (head + 1) * width);
          into.set(rotate(from, width, position, cos!, sin!, interleaved === 1), head * width);
        }
      }),
    ];
  },
  GroupQueryAttention: (inputs, attributes) => {
    const [query, , , pastKey, pastValue, seqlens, total, cos, sin] = inputs;
    const { num_heads: heads, kv_num_heads: kvHeads, do_rotary, local_window_size } = attributes;
    const width = pastKey!.shape[3]!;
    const [batch, fresh, rowSize] = query!.shape as [number, number, number];
    const scale = attributes.scale === 0 ? 1 / Math.sqrt(width) : attributes.scale;
    const packed = inputs[1] === undefined;
    const pastRoom = pastKey!.shape[2]!;
    const room = Math.max(pastRoom, total!.data[0]!);
    // A first call covers the whole length: nothing of the past counts, whatever the row's own length.
    const first = fresh === total!.data[0]!;
    const pastOf = (b: number): number => (first ? 0 : seqlens!.data[b]! + 1 - fresh);

    const row = (
      source: Wide,
      size: number,
      offset: number,
      b: number,
      t: number,
      head: number,
    ): Float64Array => {
      const from = (b * fresh + t) * size + offset + head * width;
      return source.data.subarray(from, from + width);
    };
    const turned = (vector: Float64Array, b: number, t: number): Float64Array =>
      do_rotary === 1 ? rotate(vector, width, pastOf(b) + t, cos!, sin!, false) : vector;
    const queryRow = (b: number, t: number, head: number): Float64Array =>
      turned(row(query!, rowSize, 0, b, t, head), b, t);
    const keyRow = (b: number, t: number, head: number): Float64Array =>
      turned(
        packed
          ? row(query!, rowSize, heads * width, b, t, head)
          : row(inputs[1]!, kvHeads * width, 0, b, t, head),
        b,
        t,
      );
    const valueRow = (b: number, t: number, head: number): Float64Array =>
      packed
        ? row(query!, rowSize, (heads + kvHeads) * width, b, t, head)
        : row(inputs[2]!, kvHeads * width, 0, b, t, head);

    const present = (past: Wide, freshRow: typeof keyRow): Wide =>
      build(past.dtype, [batch, kvHeads, room, width], (into) => {
        for (let b = 0; b < batch; b++) {
          for (let head = 0; head < kvHeads; head++) {
            const known = pastOf(b);
            const from = (b * kvHeads + head) * pastRoom * width;
            const to = (b * kvHeads + head) * room * width;
            into.set(past.data.subarray(from, from + known * width), to);
            for (let t = 0; t < fresh; t++) into.set(freshRow(b, t, head), to + (known + t) * width);
          }
        }
      });
    const keys = present(pastKey!, keyRow);
    const values = present(pastValue!, valueRow);

    const output = build(query!.dtype, [batch, fresh, heads * width], (into) => {
      for (let b = 0; b < batch; b++) {
        for (let t = 0; t < fresh; t++) {
          for (let head = 0; head < heads; head++) {
            const seen = pastOf(b) + t + 1;
            const begin = local_window_size > 0 ? Math.max(0, seen - local_window_size) : 0;
            const base = (b * kvHeads + Math.floor((head * kvHeads) / heads)) * room * width;
            const q = queryRow(b, t, head);
            const scores = Array.from(
              { length: seen - begin },
              (_, j) =>
                scale * q.reduce((sum, x, i) => sum + x * keys.data[base + (begin + j) * width + i]!, 0),
            );
            const top = Math.max(...scores);
            const weights = scores.map((score) => Math.exp(score - top));
            const mass = weights.reduce((sum, weight) => sum + weight, 0);
            const at = ((b * fresh + t) * heads + head) * width;
            for (const [j, weight] of weights.entries()) {
              for (let i = 0; i < width; i++) {
                into[at + i]! += (weight / mass) * values.data[base + (begin + j) * width + i]!;
              }
            }
          }
        }
      }
    });
    return [output, keys, values];
  },
  QuantizeLinear: ([x, scale, zero], { axis }) => {
    const dtype = zero!.dtype as "uint8" | "int8";
    const scaleAt = perAxis(scale!, x!.shape, axis);
    const zeroAt = perAxis(zero!, x!.shape, axis);
    return [
      fill(dtype, x!.shape, (i) =>
        saturate(dtype, roundHalfEven(Math.fround(x!.data[i]! / scaleAt(i))) + zeroAt(i)),
      ),
    ];
  },
  DequantizeLinear: ([q, scale, zero], { axis, block_size }) => {
    const { size, inner } = around(q!.shape, q!.shape.length === 0 ? 0 : axis);
    const blocks = block_size > 0 ? Math.ceil(size / block_size) : 0;
    const blockOf = (i: number): number => {
      const line = Math.floor(i / inner) % size;
      const outer = Math.floor(i / (inner * size));
      return (outer * blocks + Math.floor(line / block_size)) * inner + (i % inner);
    };
    const at = (values: Wide): ((i: number) => number) =>
      block_size > 0 ? (i) => values.data[blockOf(i)]! : perAxis(values, q!.shape, axis);
    const scaleAt = at(scale!);
    const zeroAt = zero === undefined ? () => 0 : at(zero);
    return [fill(scale!.dtype, q!.shape, (i) => (q!.data[i]! - zeroAt(i)) * scaleAt(i))];
  },
  MatMulInteger: ([a, b, aZero, bZero]) => [
    product(a!, b!, {
      dtype: "int32",
      left: (value, row) => value - each(aZero)(row),
      right: (value, column) => value - each(bZero)(column),
    }),
  ],
  QGemm: ([a, aScale, aZero, b, bScale, bZero], { transA, transB, alpha }) => [
    product(a!, b!, {
      transA,
      transB,
      dtype: "float32",
      left: (value) => value - aZero!.data[0]!,
      right: (value, column) => value - each(bZero)(column),
      scale: (sum, _, column) => alpha * sum * aScale!.data[0]! * each(bScale)(column),
    }),
  ],
  MatMulNBits: ([x, packed, scales, zeros], { K, N, bits, block_size }) => {
    const blocks = Math.ceil(K / block_size);
    // Numbers of `bits` in a byte, the low ones first.
    const unpack = (bytes: Float64Array, row: number, rowBytes: number, i: number): number => {
      const perByte = 8 / bits;
      const byte = bytes[row * rowBytes + Math.floor(i / perByte)]!;
      return (byte >> ((i % perByte) * bits)) & (2 ** bits - 1);
    };
    const weights = build(x!.dtype, [N, K], (into) => {
      for (let row = 0; row < N; row++) {
        for (let i = 0; i < K; i++) {
          const block = Math.floor(i / block_size);
          const zero =
            zeros === undefined
              ? 2 ** (bits - 1)
              : unpack(zeros.data, row, Math.ceil((blocks * bits) / 8), block);
          const q = unpack(packed!.data, row, (blocks * block_size * bits) / 8, i);
          into[row * K + i] = (q - zero) * scales!.data[row * blocks + block]!;
        }
      }
    });
    const rows = { ...x!, shape: [elementCount(x!.shape.slice(0, -1)), K] };
    return [{ ...product(rows, weights, { transB: 1 }), shape: [...x!.shape.slice(0, -1), N] }];
  },
  DynamicQuantizeMatMul: ([x, b, bScale, bZero]) => {
    const { q, scale, zero } = quantiseDynamically(x!);
    return [
      product(q, b!, {
        dtype: "float32",
        left: (value) => value - zero,
        right: (value, column) => value - each(bZero)(column),
        scale: (sum, _, column) => sum * scale * each(bScale)(column),
      }),
    ];
  },
} satisfies Partial<ReferenceTable>;
