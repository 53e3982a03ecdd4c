/** Shape rules of products, reductions and the ops that move elements. */
import { isFloat } from "../../tensor/index.ts";
import { type Dim, addDims, broadcastShapes, canonical, multiplyDims, sameShape } from "../dims.ts";
import type { Op } from "../graph.ts";
import {
  type Inputs,
  concatShape,
  fail,
  matmulShape,
  normalAxis,
  reduceShape,
  required,
  reshapeShape,
  sameDType,
} from "../infer.ts";
import type { OpTable } from "../op-spec.ts";

const alongAxis = (op: Op) => ({
  arity: [1, 1] as const,
  infer: (inputs: Inputs, { axis }: { readonly axis: number }) => {
    const { dtype, shape } = required(op, inputs, 0);
    normalAxis(op, inputs, axis, shape.length);
    return [{ dtype, shape }];
  },
});

const reduction = (op: Op) => ({
  arity: [1, 1] as const,
  infer: (
    inputs: Inputs,
    { axes, keepdims }: { readonly axes: readonly number[]; readonly keepdims: 0 | 1 },
  ) => [{ dtype: required(op, inputs, 0).dtype, shape: reduceShape(op, inputs, axes, keepdims) }],
});

function sliceSize(size: Dim, start: number, end: number | undefined, refuse: (rule: string) => never): Dim {
  const clamp = (at: number): number =>
    Math.min(Math.max(at < 0 ? at + (size as number) : at, 0), size as number);
  if (typeof size === "number") return Math.max(0, clamp(end ?? size) - clamp(start));
  if (end === undefined) return start < 0 ? -start : addDims(size, -start);
  if (start >= 0 === end >= 0) return Math.max(0, end - start);
  if (start >= 0) return addDims(size, end - start);
  return refuse(`[${start}, ${end}) of the unknown size ${size} has no size of its own`);
}

type Product =
  | "MatMul"
  | "FusedMatMul"
  | "Softmax"
  | "LogSoftmax"
  | "ReduceSum"
  | "ReduceMean"
  | "ReduceMax"
  | "ReduceMin"
  | "ArgMax"
  | "TopK";
type Layout =
  | "Reshape"
  | "Transpose"
  | "Slice"
  | "Concat"
  | "Pad"
  | "Expand"
  | "Gather"
  | "GatherElements"
  | "ScatterND"
  | "Barrier";

export const layoutOps: Pick<OpTable, Product | Layout> = {
  MatMul: {
    arity: [2, 2],
    infer: (inputs) => [{ dtype: sameDType("MatMul", inputs), shape: matmulShape("MatMul", inputs) }],
  },
  FusedMatMul: {
    domain: "com.microsoft",
    arity: [2, 2],
    infer: (inputs, { transA, transB }) => [
      { dtype: sameDType("FusedMatMul", inputs), shape: matmulShape("FusedMatMul", inputs, transA, transB) },
    ],
  },
  Softmax: alongAxis("Softmax"),
  LogSoftmax: alongAxis("LogSoftmax"),
  ReduceSum: reduction("ReduceSum"),
  ReduceMean: reduction("ReduceMean"),
  ReduceMax: reduction("ReduceMax"),
  ReduceMin: reduction("ReduceMin"),
  ArgMax: {
    arity: [1, 1],
    infer: (inputs, { axis, keepdims }) => [
      { dtype: "int64", shape: reduceShape("ArgMax", inputs, [axis], keepdims) },
    ],
  },
  TopK: {
    arity: [1, 1],
    infer: (inputs, { k, axis }) => {
      const { dtype, shape } = required("TopK", inputs, 0);
      const along = normalAxis("TopK", inputs, axis, shape.length);
      const size = shape[along]!;
      if (typeof size === "number" && k > size) fail("TopK", inputs, `k ${k} exceeds the size ${size}`);
      const kept = shape.map((dim, i) => (i === along ? k : dim));
      return [
        { dtype, shape: kept },
        { dtype: "int64", shape: kept },
      ];
    },
  },
  Reshape: {
    arity: [1, 1],
    infer: (inputs, { shape }) => [
      { dtype: required("Reshape", inputs, 0).dtype, shape: reshapeShape("Reshape", inputs, shape) },
    ],
  },
  Transpose: {
    arity: [1, 1],
    infer: (inputs, { perm }) => {
      const { dtype, shape } = required("Transpose", inputs, 0);
      const sorted = [...perm].sort((a, b) => a - b);
      if (perm.length !== shape.length || sorted.some((axis, i) => axis !== i)) {
        fail("Transpose", inputs, `perm ${perm.join(", ")} is not an order of ${shape.length} axes`);
      }
      return [{ dtype, shape: perm.map((axis) => shape[axis]!) }];
    },
  },
  Slice: {
    arity: [1, 1],
    infer: (inputs, { axis, start, end }) => {
      const { dtype, shape } = required("Slice", inputs, 0);
      const along = normalAxis("Slice", inputs, axis, shape.length);
      const size = sliceSize(shape[along]!, start, end, (rule) => fail("Slice", inputs, rule));
      return [{ dtype, shape: shape.map((dim, i) => (i === along ? size : dim)) }];
    },
  },
  Concat: {
    arity: [1, Number.POSITIVE_INFINITY],
    infer: (inputs, { axis }) => [
      { dtype: sameDType("Concat", inputs), shape: concatShape("Concat", inputs, axis) },
    ],
  },
  Pad: {
    arity: [1, 1],
    infer: (inputs, { axis, before, after }) => {
      const { dtype, shape } = required("Pad", inputs, 0);
      const along = normalAxis("Pad", inputs, axis, shape.length);
      return [
        { dtype, shape: shape.map((dim, i) => (i === along ? addDims(addDims(dim, before), after) : dim)) },
      ];
    },
  },
  Expand: {
    arity: [1, 1],
    infer: (inputs, { shape }) => {
      const from = required("Expand", inputs, 0);
      const target = shape.map(canonical);
      const result = broadcastShapes(from.shape, target);
      if (result === undefined || !sameShape(result, target))
        fail("Expand", inputs, `cannot become [${target.join(", ")}]`);
      return [{ dtype: from.dtype, shape: target }];
    },
  },
  Gather: {
    arity: [2, 2],
    infer: (inputs, { axis }) => {
      const data = required("Gather", inputs, 0);
      const index = required("Gather", inputs, 1);
      if (index.dtype !== "int64" && index.dtype !== "int32")
        fail("Gather", inputs, "the index must be int64 or int32");
      const along = normalAxis("Gather", inputs, axis, data.shape.length);
      return [
        {
          dtype: data.dtype,
          shape: [...data.shape.slice(0, along), ...index.shape, ...data.shape.slice(along + 1)],
        },
      ];
    },
  },
  GatherElements: {
    arity: [2, 2],
    infer: (inputs) => {
      const data = required("GatherElements", inputs, 0);
      const index = required("GatherElements", inputs, 1);
      if (index.dtype !== "int64" && index.dtype !== "int32")
        fail("GatherElements", inputs, "the index must be int64 or int32");
      const fits = data.shape.length === 2 && index.shape.length === 2;
      if (!fits || !sameShape(data.shape.slice(0, 1), index.shape.slice(0, 1)))
        fail("GatherElements", inputs, "data and index must be [N, ..] with as many rows");
      return [{ dtype: data.dtype, shape: index.shape }];
    },
  },
  ScatterND: {
    arity: [3, 3],
    infer: (inputs) => {
      const data = required("ScatterND", inputs, 0);
      const indices = required("ScatterND", inputs, 1);
      const updates = required("ScatterND", inputs, 2);
      if (indices.dtype !== "int64" || indices.shape.length !== 2 || indices.shape[1] !== 1) {
        fail("ScatterND", inputs, "the indices must be int64 [N, 1]");
      }
      if (
        !sameShape(updates.shape, [indices.shape[0]!, ...data.shape.slice(1)]) ||
        updates.dtype !== data.dtype
      ) {
        fail("ScatterND", inputs, "the updates must be [N, ...] of the data's rows and element type");
      }
      return [{ dtype: data.dtype, shape: data.shape }];
    },
  },
  Barrier: {
    domain: "attune",
    arity: [2, Number.POSITIVE_INFINITY],
    infer: (inputs) => {
      const { dtype, shape } = required("Barrier", inputs, 0);
      for (const [i] of inputs.slice(1).entries()) {
        const token = required("Barrier", inputs, i + 1);
        if (!isFloat(token.dtype)) fail("Barrier", inputs, "a token must be a float");
        if (token.shape.reduce<Dim>((a, b) => multiplyDims(a, b), 1) === 0)
          fail("Barrier", inputs, "a token is empty");
      }
      return [{ dtype, shape }];
    },
  },
};
