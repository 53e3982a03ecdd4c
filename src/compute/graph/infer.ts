/** Helpers for the shape rules of the op table. */
import type { DType } from "../tensor/index.ts";
import { type Dim, type Shape, addDims, broadcastShapes, canonical, formatShape, shapeSize } from "./dims.ts";
import { GraphError, type Value } from "./graph.ts";

export interface ValueType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export type Inputs = readonly (Value | undefined)[];

export function describe(value: Value | undefined): string {
  return value === undefined ? "nothing" : `${value.name}: ${value.dtype}${formatShape(value.shape)}`;
}

/** Fails with the op and every operand spelled out. */
export function fail(op: string, inputs: Inputs, rule: string): never {
  throw new GraphError(`${op}(${inputs.map(describe).join(", ")}): ${rule}`);
}

export function required(op: string, inputs: Inputs, index: number): Value {
  return inputs[index] ?? fail(op, inputs, `input ${index} is missing`);
}

/** `axis` counted from the front, checked against the rank. */
export function normalAxis(op: string, inputs: Inputs, axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank) {
    fail(op, inputs, `axis ${axis} is outside a shape of rank ${rank}`);
  }
  return normal;
}

export function sameDType(op: string, inputs: Inputs): DType {
  const first = required(op, inputs, 0).dtype;
  if (inputs.some((value) => value !== undefined && value.dtype !== first)) {
    fail(op, inputs, "the operands must share one element type");
  }
  return first;
}

export function broadcast(op: string, inputs: Inputs): Shape {
  let shape: Shape = [];
  for (const value of inputs) {
    const next = broadcastShapes(shape, value!.shape);
    if (next === undefined) fail(op, inputs, "the shapes do not broadcast");
    shape = next;
  }
  return shape;
}

/** `shape` with the size at each of `axes` dropped, or set to 1 where `keep`. */
export function reduceShape(op: string, inputs: Inputs, axes: readonly number[], keep: 0 | 1): Shape {
  const { shape } = required(op, inputs, 0);
  const gone = new Set(axes.map((axis) => normalAxis(op, inputs, axis, shape.length)));
  if (gone.size !== axes.length) fail(op, inputs, `axes ${axes.join(", ")} name one axis twice`);
  return keep === 1
    ? shape.map((dim, axis) => (gone.has(axis) ? 1 : dim))
    : shape.filter((_, axis) => !gone.has(axis));
}

/** [.., M, K] × [.., K, N] → [.., M, N] with broadcast batch axes and optional transposes. */
export function matmulShape(op: string, inputs: Inputs, transA = 0, transB = 0): Shape {
  const a = required(op, inputs, 0).shape;
  const b = required(op, inputs, 1).shape;
  if (a.length < 2 || b.length < 2) fail(op, inputs, "both operands need at least two axes");
  const [m, ka] = transA === 1 ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
  const [kb, n] = transB === 1 ? [b.at(-1)!, b.at(-2)!] : [b.at(-2)!, b.at(-1)!];
  if (canonical(ka) !== canonical(kb)) fail(op, inputs, `the inner sizes ${ka} and ${kb} differ`);
  const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
  if (batch === undefined) fail(op, inputs, "the batch axes do not broadcast");
  return [...batch, m, n];
}

export function concatShape(op: string, inputs: Inputs, axis: number): Shape {
  const first = required(op, inputs, 0).shape;
  const along = normalAxis(op, inputs, axis, first.length);
  let total: Dim = 0;
  for (const value of inputs) {
    const shape = value!.shape;
    const fits =
      shape.length === first.length &&
      shape.every((dim, i) => i === along || canonical(dim) === canonical(first[i]!));
    if (!fits) fail(op, inputs, `the shapes must agree but for axis ${along}`);
    total = addDims(total, shape[along]!);
  }
  return first.map((dim, i) => (i === along ? total : dim));
}

export function reshapeShape(op: string, inputs: Inputs, shape: Shape): Shape {
  const from = required(op, inputs, 0).shape;
  if (shapeSize(from) !== shapeSize(shape)) {
    fail(
      op,
      inputs,
      `${shapeSize(from)} elements cannot take the shape ${formatShape(shape)} of ${shapeSize(shape)}`,
    );
  }
  return shape.map(canonical);
}
