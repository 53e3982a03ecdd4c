/** A factor of rows or columns of a sum of products moves into their smaller operands. */
import { sameShape } from "../dims.ts";
import type { Node, OpAttributes, Value } from "../graph.ts";
import { type Tools, uniformValue } from "./rewrite.ts";

interface Factor {
  /** [T, 1] or [N] */
  readonly value: Value;
  readonly of: "rows" | "columns";
}

/**
 * x · f, x [T, N] and f [T, 1] or [N], where every product that x is made of has an operand with room for f: the scales of
 * integers, or a thin matrix. Saves a pass over [T, N].
 */
export function spreadFactor(node: Node, tools: Tools): Value | undefined {
  if (node.op !== "Mul") return undefined;
  for (const side of [0, 1]) {
    const x = node.inputs[side]!;
    const factor = factorOf(x, node.inputs[1 - side]!);
    const carried = factor === undefined ? undefined : carrying(x, factor, tools);
    if (carried !== undefined) return carried();
  }
  return undefined;
}

function factorOf(x: Value, value: Value): Factor | undefined {
  const [rows, columns] = x.shape;
  if (x.shape.length !== 2 || columns === 1) return undefined;
  if (sameShape(value.shape, [rows!, 1])) return { value, of: "rows" };
  return sameShape(value.shape, [columns!]) ? { value, of: "columns" } : undefined;
}

/** How x · factor is formed without another pass over x; `undefined` where it cannot, or where x is read again. */
function carrying(x: Value, factor: Factor, tools: Tools): (() => Value) | undefined {
  const node = tools.producer(x);
  if (node === undefined || tools.uses(x) > 1) return undefined;
  switch (node.op) {
    case "Add":
      return carryingSum(node, x, factor, tools);
    case "Mul":
      return carryingMultiple(node, x, factor, tools);
    case "Where":
      return carryingMasked(node, x, factor, tools);
    case "QGemm":
      return carryingIntegers(node as Node<"QGemm">, factor, tools);
    case "MatMul":
    case "FusedMatMul":
      return carryingThin(node, factor, tools);
    default:
      return undefined;
  }
}

function carryingSum(node: Node, x: Value, factor: Factor, tools: Tools): (() => Value) | undefined {
  const [a, b] = node.inputs.map((term) =>
    sameShape(term!.shape, x.shape) ? carrying(term!, factor, tools) : undefined,
  );
  return a === undefined || b === undefined ? undefined : () => tools.emit("Add", [a(), b()], {});
}

/** x is another value times a vector: one of the kind takes the factor up, one of the other lets it through. */
function carryingMultiple(node: Node, x: Value, factor: Factor, tools: Tools): (() => Value) | undefined {
  for (const side of [0, 1]) {
    const inner = node.inputs[side]!;
    const vector = node.inputs[1 - side]!;
    if (!sameShape(inner.shape, x.shape)) continue;
    if (factorOf(x, vector)?.of === factor.of)
      return () => tools.emit("Mul", [inner, tools.emit("Mul", [vector, factor.value], {})], {});
    const carried = factorOf(x, vector) === undefined ? undefined : carrying(inner, factor, tools);
    if (carried !== undefined) return () => tools.emit("Mul", [carried(), vector], {});
  }
  return undefined;
}

/** x is another value where a mask keeps it, else 0. */
function carryingMasked(node: Node, x: Value, factor: Factor, tools: Tools): (() => Value) | undefined {
  const [mask, kept, other] = node.inputs as [Value, Value, Value];
  if (uniformValue(tools.constant(other)) !== 0 || !sameShape(kept.shape, x.shape)) return undefined;
  const carried = carrying(kept, factor, tools);
  return carried && (() => tools.emit("Where", [mask, carried(), other], {}));
}

function carryingIntegers(
  { inputs, attributes }: Node<"QGemm">,
  factor: Factor,
  tools: Tools,
): (() => Value) | undefined {
  const scale = inputs[4]!;
  if (factor.of !== "columns" || !sameShape(scale.shape, factor.value.shape)) return undefined;
  return () =>
    tools.emit(
      "QGemm",
      inputs.map((input, i) => (i === 4 ? tools.emit("Mul", [scale, factor.value], {}) : input!)),
      attributes,
    );
}

/** A product whose operands are a quarter of it or less. */
function carryingThin(node: Node, factor: Factor, tools: Tools): (() => Value) | undefined {
  const [a, b] = node.inputs as [Value, Value];
  const product: OpAttributes["FusedMatMul"] =
    node.op === "MatMul" ? { transA: 0, transB: 0, alpha: 1 } : (node as Node<"FusedMatMul">).attributes;
  const [inner, columns] = product.transB === 0 ? b.shape : [...b.shape].reverse();
  const isThin = typeof inner === "number" && typeof columns === "number" && 4 * inner <= columns;
  if (a.shape.length !== 2 || b.shape.length !== 2 || !isThin) return undefined;
  if (factor.of === "columns") {
    const vector = (): Value =>
      product.transB === 0
        ? factor.value
        : tools.emit("Reshape", [factor.value], { shape: [...factor.value.shape, 1] });
    return () => tools.emit("FusedMatMul", [a, tools.emit("Mul", [b, vector()], {})], product);
  }
  if (product.transA === 1) return undefined;
  return () => tools.emit("FusedMatMul", [tools.emit("Mul", [a, factor.value], {}), b], product);
}
