/** Cases of the language-model kernels and the quantised ops. */
import * as fc from "fast-check";
import { type Tensor, elementCount, float32, tensor } from "../../tensor/index.ts";
import { type Cases, between, seeds, shapeAndAxis, shapes, size, values, whole } from "./op-case.contract.ts";

const nBits = fc.tuple(
  fc.constantFrom(4, 8),
  fc.integer({ min: 1, max: 40 }),
  size,
  size,
  seeds,
  fc.boolean(),
);

/** Rotary tables for `positions` of half-width `half`. */
function rotaryTables(positions: number, half: number): [Tensor, Tensor] {
  const angles = Array.from(
    { length: positions * half },
    (_, i) => Math.floor(i / half) / 10 ** (2 * ((i % half) / half)),
  );
  return [float32([positions, half], angles.map(Math.cos)), float32([positions, half], angles.map(Math.sin))];
}

const scalarOf = (dtype: "uint8" | "int8", value: number): Tensor =>
  dtype === "uint8" ? tensor(dtype, [], Uint8Array.of(value)) : tensor(dtype, [], Int8Array.of(value));

export const kernelCases = {
  SimplifiedLayerNormalization: fc.tuple(shapes(1), seeds, fc.boolean()).map(([shape, seed, symbolic]) => ({
    op: "SimplifiedLayerNormalization",
    inputs: [values("float32", shape, seed), values("float32", [shape.at(-1)!], seed + 1)],
    attributes: { axis: -1, epsilon: 1e-5 },
    symbolic,
  })),
  SkipSimplifiedLayerNormalization: fc.tuple(shapes(2, 3), seeds).map(([shape, seed]) => ({
    op: "SkipSimplifiedLayerNormalization",
    inputs: [
      values("float32", shape, seed),
      values("float32", shape, seed + 1),
      values("float32", [shape.at(-1)!], seed + 2),
    ],
    attributes: { epsilon: 1e-5 },
  })),
  RotaryEmbedding: fc
    .tuple(size, size, size, size, fc.constantFrom<0 | 1>(0, 1), seeds)
    .map(([batch, tokens, heads, half, interleaved, seed]) => ({
      op: "RotaryEmbedding",
      inputs: [
        values("float32", [batch, tokens, heads * half * 2], seed),
        values("int64", [batch, tokens], seed, whole(0, 8)),
        ...rotaryTables(9, half),
      ],
      attributes: { interleaved, num_heads: heads },
    })),
  GroupQueryAttention: fc
    .record({
      batch: size,
      kvHeads: fc.integer({ min: 1, max: 2 }),
      group: fc.integer({ min: 1, max: 3 }),
      half: fc.constantFrom(8, 16),
      past: fc.nat({ max: 5 }),
      fresh: size,
      packed: fc.boolean(),
      rotary: fc.constantFrom<0 | 1>(0, 1),
      window: fc.constantFrom(-1, -1, 2),
      scale: fc.constantFrom(0, 0.5),
      seed: seeds,
    })
    .map((it) => {
      // Several new tokens behind a past are allowed for one sequence only.
      const fresh = it.past > 0 && it.batch > 1 ? 1 : it.fresh;
      const heads = it.kvHeads * it.group;
      const width = it.half * 2;
      const known = Array.from({ length: it.batch }, (_, b) =>
        it.batch === 1 ? it.past : Math.max(0, it.past - (b % 3)),
      );
      const rows = (columns: number, seed: number): Tensor =>
        values("float32", [it.batch, fresh, columns], seed);
      const kv = (seed: number): Tensor => values("float32", [it.batch, it.kvHeads, it.past, width], seed);
      return {
        op: "GroupQueryAttention" as const,
        inputs: [
          rows((it.packed ? heads + 2 * it.kvHeads : heads) * width, it.seed),
          it.packed ? undefined : rows(it.kvHeads * width, it.seed + 1),
          it.packed ? undefined : rows(it.kvHeads * width, it.seed + 2),
          kv(it.seed + 3),
          kv(it.seed + 4),
          tensor(
            "int32",
            [it.batch],
            Int32Array.from(known, (past) => past + fresh - 1),
          ),
          tensor("int32", [], Int32Array.of(it.past + fresh)),
          ...rotaryTables(16, it.half),
        ],
        attributes: {
          num_heads: heads,
          kv_num_heads: it.kvHeads,
          do_rotary: it.rotary,
          scale: it.scale,
          local_window_size: it.window,
        },
      };
    }),
  QuantizeLinear: fc
    .tuple(shapeAndAxis(), fc.constantFrom<"uint8" | "int8">("uint8", "int8"), fc.boolean(), seeds)
    .map(([{ shape, axis }, type, perAxis, seed]) => {
      const scaleShape = perAxis ? [shape.at(axis)!] : [];
      return {
        op: "QuantizeLinear",
        inputs: [
          // Halves of the scale: ties go to the even integer.
          values("float32", shape, seed, (next) => whole(-300, 300)(next) / 8),
          values("float32", scaleShape, seed + 1, (next) => (next() < 0.5 ? 0.25 : 0.125)),
          values(type, scaleShape, seed + 2, whole(0, 20)),
        ],
        attributes: { axis },
      };
    }),
  DequantizeLinear: fc
    .tuple(
      shapeAndAxis(),
      fc.constantFrom<"uint8" | "int8">("uint8", "int8"),
      fc.constantFrom("scalar", "axis", "blocks"),
      fc.boolean(),
      seeds,
    )
    .map(([{ shape, axis }, type, kind, zero, seed]) => {
      const blocks = shape.with(axis, Math.ceil(shape.at(axis)! / 2));
      // One scale for all counts as a scalar, never as blocks.
      const blocked = kind === "blocks" && elementCount(blocks) > 1;
      const scaleShape = blocked ? blocks : kind === "axis" ? [shape.at(axis)!] : [];
      return {
        op: "DequantizeLinear",
        inputs: [
          values(type, shape, seed),
          values("float32", scaleShape, seed + 1),
          ...(zero ? [values(type, scaleShape, seed + 2)] : []),
        ],
        attributes: { axis, block_size: blocked ? 2 : 0 },
      };
    }),
  MatMulInteger: fc.tuple(size, size, size, fc.nat({ max: 2 }), seeds).map(([m, k, n, zeros, seed]) => ({
    op: "MatMulInteger",
    inputs: [
      values("uint8", [m, k], seed),
      values("int8", [k, n], seed + 1),
      ...[scalarOf("uint8", 100), scalarOf("int8", -3)].slice(0, zeros),
    ],
    attributes: {},
  })),
  QGemm: fc
    .tuple(size, size, size, fc.constantFrom<0 | 1>(0, 1), fc.boolean(), seeds)
    .map(([m, k, n, transB, perColumn, seed]) => ({
      op: "QGemm",
      inputs: [
        values("uint8", [m, k], seed),
        float32([], [0.02]),
        scalarOf("uint8", 128),
        values("int8", transB === 1 ? [n, k] : [k, n], seed + 1),
        values("float32", perColumn ? [n] : [], seed + 2, between(0.01, 0.1)),
        perColumn ? tensor("int8", [n], new Int8Array(n)) : scalarOf("int8", 0),
      ],
      attributes: { transA: 0, transB, alpha: 1 },
    })),
  MatMulNBits: nBits.map(([bits, k, n, rows, seed, withZeros]) => {
    const block = 16;
    const blocks = Math.ceil(k / block);
    return {
      op: "MatMulNBits",
      inputs: [
        values("float32", [rows, k], seed),
        values("uint8", [n, blocks, (block * bits) / 8], seed + 1),
        values("float32", [n * blocks], seed + 2, between(0.01, 0.1)),
        ...(withZeros ? [values("uint8", [n * Math.ceil((blocks * bits) / 8)], seed + 3)] : []),
      ],
      attributes: { K: k, N: n, bits, block_size: block, accuracy_level: 0 },
    };
  }),
  DynamicQuantizeMatMul: fc.tuple(size, size, size, fc.boolean(), seeds).map(([m, k, n, zero, seed]) => ({
    op: "DynamicQuantizeMatMul",
    inputs: [
      values("float32", [m, k], seed),
      values("int8", [k, n], seed + 1),
      values("float32", [n], seed + 2, between(0.01, 0.1)),
      ...(zero ? [tensor("int8", [n], new Int8Array(n))] : []),
    ],
    attributes: {},
    // A value half way between two steps may be rounded either way.
    tolerance: 0.2,
  })),
} satisfies Partial<Cases>;
