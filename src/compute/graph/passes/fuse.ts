/** Joins nodes into the kernels that compute them in one go. */
import { isFloat } from "../../tensor/index.ts";
import { sameShape } from "../dims.ts";
import type { Graph, Node, OpAttributes, Value } from "../graph.ts";
import { type Tools, rewrite, uniformValue } from "./rewrite.ts";
import { spreadFactor } from "./spread-factor.ts";

type Product = OpAttributes["FusedMatMul"];

/**
 * Transposes and factors around a product move into FusedMatMul, a vector behind a norm into its weight, one behind a
 * sum of products into their operands; x · sigmoid(x) becomes QuickGelu.
 */
export function fuse(graph: Graph): Graph {
  return rewrite(graph, (node, tools) => {
    const value =
      fuseProduct(node, tools) ??
      fuseScale(node, tools) ??
      fuseSilu(node, tools) ??
      fuseNormWeight(node, tools) ??
      spreadFactor(node, tools);
    return value === undefined ? undefined : [value];
  });
}

function productOf(node: Node | undefined): Product | undefined {
  if (node?.op === "MatMul") return { transA: 0, transB: 0, alpha: 1 };
  return node?.op === "FusedMatMul" ? (node as Node<"FusedMatMul">).attributes : undefined;
}

/** The untransposed operand, where `value` is a transpose of its last two axes alone. */
function untransposed(value: Value, tools: Tools): Value | undefined {
  const node = tools.producer(value);
  if (node?.op !== "Transpose") return undefined;
  const { perm } = (node as Node<"Transpose">).attributes;
  const rank = perm.length;
  const swapsLastTwo = perm.every(
    (axis, i) => axis === (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i),
  );
  return rank >= 2 && swapsLastTwo ? node.inputs[0] : undefined;
}

/** The operand and the factor, where `value` is read once and is an operand times a constant of one element. */
function unscaled(value: Value, tools: Tools): { readonly from: Value; readonly factor: number } | undefined {
  const node = tools.producer(value);
  if (node === undefined || tools.uses(value) !== 1) return undefined;
  return scaling(node, tools);
}

/** The node as "operand times a number", where it is that and keeps the operand's shape. */
function scaling(node: Node, tools: Tools): { readonly from: Value; readonly factor: number } | undefined {
  if (node.op === "Neg") return { from: node.inputs[0]!, factor: -1 };
  if (node.op !== "Mul" && node.op !== "Div") return undefined;
  for (const side of node.op === "Mul" ? [1, 0] : [1]) {
    const content = tools.constant(node.inputs[side]);
    const from = node.inputs[1 - side]!;
    const number = content?.data.length === 1 ? uniformValue(content) : undefined;
    const keepsRank = from.shape.length === node.outputs[0]!.shape.length;
    if (number === undefined || !keepsRank) continue;
    const factor = node.op === "Mul" ? number : 1 / number;
    if (Number.isFinite(factor)) return { from, factor };
  }
  return undefined;
}

function fuseProduct(node: Node, tools: Tools): Value | undefined {
  const product = productOf(node);
  if (product === undefined || !isFloat(node.outputs[0]!.dtype)) return undefined;
  let { transA, transB, alpha } = product;
  let [a, b] = node.inputs as [Value, Value];
  let changed = false;
  for (const side of [0, 1]) {
    const operand = side === 0 ? a : b;
    const scaled = unscaled(operand, tools);
    const inner = scaled?.from ?? operand;
    const straight = untransposed(inner, tools);
    if (scaled === undefined && straight === undefined) continue;
    changed = true;
    alpha *= scaled?.factor ?? 1;
    const source = straight ?? inner;
    const flip = straight === undefined ? 0 : 1;
    if (side === 0) [a, transA] = [source, (transA ^ flip) as 0 | 1];
    else [b, transB] = [source, (transB ^ flip) as 0 | 1];
  }
  return changed ? tools.emit("FusedMatMul", [a, b], { transA, transB, alpha }) : undefined;
}

/** A product times a number. */
function fuseScale(node: Node, tools: Tools): Value | undefined {
  const scaled = scaling(node, tools);
  if (scaled === undefined) return undefined;
  const inner = tools.producer(scaled.from);
  const product = productOf(inner);
  const read = node.inputs.find((input) => input !== undefined && tools.producer(input) === inner);
  if (inner === undefined || product === undefined || !isFloat(node.outputs[0]!.dtype)) return undefined;
  if (read === undefined || tools.uses(read) > 1) return undefined;
  return tools.emit("FusedMatMul", inner.inputs as Value[], {
    ...product,
    alpha: product.alpha * scaled.factor,
  });
}

/** x · sigmoid(x), where nothing else reads the sigmoid. */
function fuseSilu(node: Node, tools: Tools): Value | undefined {
  if (node.op !== "Mul") return undefined;
  for (const side of [0, 1]) {
    const gate = node.inputs[side]!;
    const x = node.inputs[1 - side]!;
    const inner = tools.producer(gate);
    if (inner?.op === "Sigmoid" && inner.inputs[0] === x && tools.uses(gate) === 1) {
      return tools.emit("QuickGelu", [x], { alpha: 1 });
    }
  }
  return undefined;
}

/** A normalised x times a vector [D], where nothing else reads it. */
function fuseNormWeight(node: Node, tools: Tools): Value | undefined {
  if (node.op !== "Mul") return undefined;
  for (const side of [0, 1]) {
    const normed = node.inputs[side]!;
    const vector = node.inputs[1 - side]!;
    const norm = tools.producer(normed);
    if (norm?.op !== "SimplifiedLayerNormalization" || normed !== norm.outputs[0]) continue;
    const [x, weight] = norm.inputs as [Value, Value];
    if (tools.uses(normed) > 1 || !sameShape(vector.shape, weight.shape)) continue;
    return tools.emit(
      "SimplifiedLayerNormalization",
      [x, tools.emit("Mul", [weight, vector], {})],
      (norm as Node<"SimplifiedLayerNormalization">).attributes,
    );
  }
  return undefined;
}
