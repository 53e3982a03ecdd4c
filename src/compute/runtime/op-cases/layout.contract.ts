/** Cases of products, reductions and the ops that move elements. */
import * as fc from "fast-check";
import type { Op, OpAttributes } from "../../graph/index.ts";
import { elementCount, int64 } from "../../tensor/index.ts";
import {
  type Cases,
  type OpCase,
  arithmetic,
  broadcastable,
  seeds,
  shapeAndAxis,
  shapes,
  size,
  values,
  whole,
} from "./op-case.contract.ts";

const along = <K extends Op>(op: K, attributes: (axis: number) => OpAttributes[K]): fc.Arbitrary<OpCase<K>> =>
  fc.tuple(shapeAndAxis(), seeds, fc.boolean()).map(([{ shape, axis }, seed, symbolic]) => ({
    op,
    inputs: [values("float32", shape, seed)],
    attributes: attributes(axis),
    symbolic,
  }));

const reduction = <K extends "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin">(
  op: K,
): fc.Arbitrary<OpCase<K>> =>
  fc
    .tuple(
      shapes(0),
      fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      fc.constantFrom<0 | 1>(0, 1),
      seeds,
    )
    .map(([shape, chosen, keepdims, seed]) => ({
      op,
      inputs: [values("float32", shape, seed)],
      attributes: {
        axes: shape.flatMap((_, i) => (chosen[i]! ? [i % 2 === 0 ? i : i - shape.length] : [])),
        keepdims,
      },
    })) as fc.Arbitrary<OpCase<K>>;

/** Shapes of a product with batch axes that broadcast. */
const products = fc.tuple(broadcastable(2), size, size, size);

export const layoutCases = {
  MatMul: fc.tuple(products, seeds, fc.boolean()).map(([[[a, b], m, k, n], seed, symbolic]) => ({
    op: "MatMul",
    inputs: [values("float32", [...a!, m, k], seed), values("float32", [...b!, k, n], seed + 1)],
    attributes: {},
    symbolic,
  })),
  FusedMatMul: fc
    .tuple(products, fc.boolean(), fc.boolean(), fc.constantFrom(1, 0.125, -3), seeds, fc.boolean())
    .map(([[[a, b], m, k, n], transA, transB, alpha, seed, symbolic]) => ({
      op: "FusedMatMul",
      inputs: [
        values("float32", [...a!, ...(transA ? [k, m] : [m, k])], seed),
        values("float32", [...b!, ...(transB ? [n, k] : [k, n])], seed + 1),
      ],
      attributes: { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha },
      symbolic,
    })),
  Softmax: along("Softmax", (axis) => ({ axis })),
  LogSoftmax: along("LogSoftmax", (axis) => ({ axis })),
  ReduceSum: reduction("ReduceSum"),
  ReduceMean: reduction("ReduceMean"),
  ReduceMax: reduction("ReduceMax"),
  ReduceMin: reduction("ReduceMin"),
  ArgMax: fc
    .tuple(shapeAndAxis(), fc.constantFrom<0 | 1>(0, 1), seeds)
    .map(([{ shape, axis }, keepdims, seed]) => ({
      op: "ArgMax",
      // Few distinct values, so that ties occur.
      inputs: [values("float32", shape, seed, whole(0, 2))],
      attributes: { axis, keepdims },
    })),
  TopK: fc.tuple(shapeAndAxis(), size, seeds).map(([{ shape, axis }, k, seed]) => ({
    op: "TopK",
    inputs: [values("float32", shape, seed, whole(0, 3))],
    attributes: { axis, k: Math.min(k, shape.at(axis)!) },
  })),
  Reshape: fc.tuple(shapes(0), fc.integer({ min: 0, max: 5 }), seeds).map(([shape, kind, seed]) => ({
    op: "Reshape",
    inputs: [values("float32", shape, seed)],
    attributes: {
      shape: [
        [elementCount(shape)],
        [...shape, 1],
        [1, ...shape],
        shape.toReversed(),
        [shape[0] ?? 1, elementCount(shape.slice(1))],
        [elementCount(shape.slice(0, -1)), shape.at(-1) ?? 1],
      ][kind]!,
    },
  })),
  Transpose: shapes(0).chain((shape) =>
    fc
      .tuple(fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }), seeds, fc.boolean())
      .map(([perm, seed, symbolic]) => ({
        op: "Transpose" as const,
        inputs: [values("float32", shape, seed)],
        attributes: { perm },
        symbolic,
      })),
  ),
  Slice: fc
    .tuple(shapeAndAxis(), fc.integer({ min: -5, max: 5 }), fc.option(fc.integer({ min: -5, max: 5 })), seeds)
    .map(([{ shape, axis }, start, end, seed]) => ({
      op: "Slice",
      inputs: [values("float32", shape, seed)],
      attributes: end === null ? { axis, start } : { axis, start, end },
    })),
  Concat: fc
    .tuple(shapeAndAxis(), fc.array(size, { minLength: 1, maxLength: 3 }), arithmetic, seeds)
    .map(([{ shape, axis }, sizes, type, seed]) => ({
      op: "Concat",
      inputs: sizes.map((along, i) => values(type, shape.with(axis, along), seed + i)),
      attributes: { axis },
    })),
  Pad: fc
    .tuple(shapeAndAxis(), fc.nat({ max: 3 }), fc.nat({ max: 3 }), arithmetic, seeds)
    .map(([{ shape, axis }, before, after, type, seed]) => ({
      op: "Pad",
      inputs: [values(type, shape, seed)],
      attributes: { axis, before, after },
    })),
  Expand: broadcastable(1).chain(([from]) =>
    fc
      .tuple(shapes(0, 2), fc.array(size, { minLength: 4, maxLength: 4 }), seeds)
      .map(([lead, grown, seed]) => ({
        op: "Expand" as const,
        inputs: [values("float32", from!, seed)],
        attributes: { shape: [...lead, ...from!.map((dim, i) => (dim === 1 ? grown[i]! : dim))] },
      })),
  ),
  Gather: fc
    .tuple(
      shapeAndAxis(),
      shapes(0, 2),
      fc.constantFrom<"int32" | "int64">("int32", "int64"),
      seeds,
      fc.boolean(),
    )
    .map(([{ shape, axis }, indexShape, indexType, seed, symbolic]) => {
      const count = shape.at(axis)!;
      return {
        op: "Gather",
        inputs: [
          values("float32", shape, seed),
          values(indexType, indexShape, seed, whole(-count, count - 1)),
        ],
        attributes: { axis },
        symbolic,
      };
    }),
  GatherElements: fc
    .tuple(size, size, size, fc.constantFrom<"int32" | "int64">("int32", "int64"), seeds, fc.boolean())
    .map(([rows, columns, count, indexType, seed, symbolic]) => ({
      op: "GatherElements",
      inputs: [
        values("float32", [rows, columns], seed),
        values(indexType, [rows, count], seed, whole(-columns, columns - 1)),
      ],
      attributes: { axis: 1 },
      symbolic,
    })),
  ScatterND: shapes(1).chain((shape) =>
    fc
      .tuple(fc.boolean(), fc.array(fc.nat({ max: shape[0]! - 1 }), { minLength: 1, maxLength: 4 }), seeds)
      .map(([add, rows, seed]) => {
        // Which of two writes to one row wins is not defined, so only sums may repeat a row.
        const used = add ? rows : [...new Set(rows)];
        return {
          op: "ScatterND" as const,
          inputs: [
            values("float32", shape, seed),
            int64([used.length, 1], used),
            values("float32", [used.length, ...shape.slice(1)], seed + 1),
          ],
          attributes: { reduction: add ? ("add" as const) : ("none" as const) },
        };
      }),
  ),
  Barrier: fc
    .tuple(shapes(0), shapes(0, 2), arithmetic, seeds, fc.boolean())
    .map(([shape, token, type, seed, symbolic]) => ({
      op: "Barrier",
      inputs: [values(type, shape, seed), values("float32", token, seed + 1)],
      attributes: {},
      symbolic,
    })),
} satisfies Partial<Cases>;
