/** Gradients of products, reductions and the ops that move elements. */
import {
  type GraphBuilder,
  GraphError,
  type Node,
  type Shape,
  type Value,
  shapeSize,
  subtractDims,
} from "../graph/index.ts";
import { zeros } from "../tensor/index.ts";
import { type Cotangents, type GradTable, knownCount, single, unbroadcast } from "./rule.ts";

type Product =
  | "MatMul"
  | "FusedMatMul"
  | "Softmax"
  | "LogSoftmax"
  | "ReduceSum"
  | "ReduceMean"
  | "ReduceMax"
  | "ReduceMin"
  | "ArgMax";
type Layout =
  | "TopK"
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

/** y = alpha · op(a) · op(b): the cotangents of a and b. */
function productGradient(
  g: GraphBuilder,
  ct: Value,
  [a, b]: readonly Value[],
  { transA, transB, alpha }: { transA: boolean; transB: boolean; alpha: number },
  needs: (input: number) => boolean,
): Cotangents {
  // A weight [K, N] under rows with batch axes: one flat product instead of a broadcast one.
  if (a!.shape.length > 2 && b!.shape.length === 2 && !transA) {
    const flat = (x: Value): Value => g.reshape(x, [shapeSize(x.shape.slice(0, -1)), x.shape.at(-1)!]);
    const [da, db] = productGradient(g, flat(ct), [flat(a!), b!], { transA, transB, alpha }, needs);
    return [da === undefined ? undefined : g.reshape(da, a!.shape), db];
  }
  const da = (): Value =>
    transA
      ? g.matmul(b!, ct, { transA: transB, transB: true, alpha })
      : g.matmul(ct, b!, { transB: !transB, alpha });
  const db = (): Value =>
    transB
      ? g.matmul(ct, a!, { transA: true, transB: transA, alpha })
      : g.matmul(a!, ct, { transA: !transA, alpha });
  return [
    needs(0) ? unbroadcast(g, da(), a!.shape) : undefined,
    needs(1) ? unbroadcast(g, db(), b!.shape) : undefined,
  ];
}

/** A reduced cotangent given back its axes as size 1. */
function withKeptAxes(g: GraphBuilder, ct: Value, shape: Shape, axes: readonly number[]): Value {
  const reduced = new Set(axes.map((axis) => (axis < 0 ? axis + shape.length : axis)));
  return g.reshape(
    ct,
    shape.map((dim, axis) => (reduced.has(axis) ? 1 : dim)),
  );
}

function inversePermutation(perm: readonly number[]): number[] {
  const inverse: number[] = [];
  perm.forEach((from, to) => (inverse[from] = to));
  return inverse;
}

/** Zero rows [shape] with `updates` added at `index` of axis 0. */
function scatterRows(g: GraphBuilder, shape: Shape, index: Value, updates: Value): Value {
  const sizes = shape.map((dim) => {
    if (typeof dim === "string")
      throw new GraphError(`Gather: its gradient needs the size ${dim} to be known`);
    return dim;
  });
  const rows = shapeSize(index.shape);
  return g.op(
    "ScatterND",
    [
      // Expanded from one zero, so that no table of zeros is stored in the file.
      g.expand(g.constant(zeros("float32", [1])), sizes),
      g.reshape(g.cast(index, "int64"), [rows, 1]),
      g.reshape(updates, [rows, ...sizes.slice(1)]),
    ],
    { reduction: "add" },
  );
}

/** Equal extremes share the cotangent evenly. */
function extremeGradient(
  g: GraphBuilder,
  ct: Value,
  [x]: readonly (Value | undefined)[],
  { outputs: [y], attributes: { axes } }: Node<"ReduceMax" | "ReduceMin">,
): readonly Value[] {
  const extreme = g.op("Equal", [x!, withKeptAxes(g, y!, x!.shape, axes)], {});
  const share = g.div(withKeptAxes(g, ct, x!.shape, axes), g.sum(g.cast(extreme, "float32"), axes, true));
  return [g.where(extreme, share, 0)];
}

export const layoutRules: Pick<GradTable, Product | Layout> = {
  MatMul: single((g, ct, inputs, _, needs) =>
    productGradient(g, ct, inputs, { transA: false, transB: false, alpha: 1 }, needs),
  ),
  FusedMatMul: single<"FusedMatMul">((g, ct, inputs, { attributes: { transA, transB, alpha } }, needs) =>
    productGradient(g, ct, inputs, { transA: transA === 1, transB: transB === 1, alpha }, needs),
  ),
  Softmax: single<"Softmax">((g, ct, _, { outputs: [y], attributes: { axis } }) => [
    g.mul(y!, g.sub(ct, g.sum(g.mul(ct, y!), [axis], true))),
  ]),
  LogSoftmax: single<"LogSoftmax">((g, ct, _, { outputs: [y], attributes: { axis } }) => [
    g.sub(ct, g.mul(g.exp(y!), g.sum(ct, [axis], true))),
  ]),
  ReduceSum: single<"ReduceSum">((g, ct, [x], { attributes: { axes } }) => [
    g.expand(withKeptAxes(g, ct, x!.shape, axes), x!.shape),
  ]),
  ReduceMean: single<"ReduceMean">((g, ct, [x], node) => {
    const { axes } = node.attributes;
    const kept = withKeptAxes(g, ct, x!.shape, axes);
    return [g.expand(g.mul(kept, 1 / knownCount(node, x!.shape, axes)), x!.shape)];
  }),
  ReduceMax: single<"ReduceMax">(extremeGradient),
  ReduceMin: single<"ReduceMin">(extremeGradient),
  ArgMax: "not differentiable",
  TopK: "not differentiable",
  Reshape: single((g, ct, [x]) => [g.reshape(ct, x!.shape)]),
  Transpose: single<"Transpose">((g, ct, _, { attributes: { perm } }) => [
    g.transpose(ct, inversePermutation(perm)),
  ]),
  Slice: single<"Slice">((g, ct, [x], { attributes: { axis, start, end } }) => {
    const size = x!.shape[axis < 0 ? axis + x!.shape.length : axis]!;
    if (typeof size === "number") {
      // Bounds outside the axis are its ends, as in ONNX.
      const at = (bound: number): number => Math.min(size, Math.max(0, bound < 0 ? bound + size : bound));
      const from = at(start);
      return [g.pad(ct, axis, from, size - Math.max(from, at(end ?? size)))];
    }
    const before = start < 0 ? subtractDims(size, -start) : start;
    const after = end === undefined ? 0 : end < 0 ? -end : subtractDims(size, end);
    return [g.pad(ct, axis, before, after)];
  }),
  Concat: single<"Concat">((g, ct, inputs, { attributes: { axis } }) => {
    // Offsets count from the front while the sizes are known, then from the back.
    const sizes = inputs.map((value) => value.shape[axis < 0 ? axis + value.shape.length : axis]!);
    let start = 0;
    return inputs.map((_, i) => {
      const size = sizes[i]!;
      const rest = sizes.slice(i + 1);
      const tail = rest.every((dim) => typeof dim === "number")
        ? rest.reduce<number>((a, b) => a + (b as number), 0)
        : undefined;
      if (!Number.isFinite(start) && tail === undefined)
        throw new GraphError("Concat: two unknown sizes have no gradient");
      const from = Number.isFinite(start) ? start : -((size as number) + tail!);
      const to =
        tail === 0 ? undefined : typeof size === "number" && Number.isFinite(start) ? start + size : -tail!;
      start = typeof size === "number" ? start + size : Number.NaN;
      return g.slice(ct, axis, from, to);
    });
  }),
  Pad: single<"Pad">((g, ct, _, { attributes: { axis, before, after } }) => {
    if (typeof before === "string" || typeof after === "string") {
      throw new GraphError(`Pad by ${before} and ${after}: its gradient needs known sizes`);
    }
    return [g.slice(ct, axis, before, after === 0 ? undefined : -after)];
  }),
  Expand: single((g, ct, [x]) => [unbroadcast(g, ct, x!.shape)]),
  Gather: single<"Gather">((g, ct, [data, index], { attributes: { axis } }) => {
    const along = axis < 0 ? axis + data!.shape.length : axis;
    if (along === 0) return [scatterRows(g, data!.shape, index!, ct), undefined];
    // The indexed axes move to the front, and the summed rows back.
    const indexRank = index!.shape.length;
    const order = ct.shape.map((_, i) => i);
    const indexAxes = order.slice(along, along + indexRank);
    const others = order.filter((i) => !indexAxes.includes(i));
    const dataAxes = [along, ...data!.shape.map((_, i) => i).filter((i) => i !== along)];
    const rows = scatterRows(
      g,
      dataAxes.map((i) => data!.shape[i]!),
      index!,
      g.transpose(ct, [...indexAxes, ...others]),
    );
    return [g.transpose(rows, inversePermutation(dataAxes)), undefined];
  }),
  GatherElements: "not differentiable",
  ScatterND: single<"ScatterND">((g, ct, [data, indices, updates], { attributes: { reduction } }) => {
    if (reduction !== "add") throw new GraphError("ScatterND without reduction add has no gradient");
    const index = g.reshape(indices!, [indices!.shape[0]!]);
    return [g.reshape(ct, data!.shape), undefined, g.reshape(g.gather(ct, index), updates!.shape)];
  }),
  Barrier: single((_, ct) => [ct]),
};
