/** Gradients of the element-by-element ops. */
import { type GraphBuilder, type Value } from "../graph/index.ts";
import { isFloat } from "../tensor/index.ts";
import { type GradTable, single, unbroadcast } from "./rule.ts";

type Elementwise =
  | "Add"
  | "Sub"
  | "Mul"
  | "Div"
  | "Max"
  | "Min"
  | "Less"
  | "Greater"
  | "Equal"
  | "Neg"
  | "Abs"
  | "Exp";
type Bits = "BitwiseAnd" | "BitShift";
type Rest = "Log" | "Sqrt" | "Reciprocal" | "Sigmoid" | "Tanh" | "Cast" | "QuickGelu" | "Where";

/** Sends the cotangent to the larger (or smaller) operand; a tie goes to the first. */
const selected = (first: (g: GraphBuilder, a: Value, b: Value) => Value) =>
  single<"Max" | "Min">((g, ct, [a, b]) => {
    const second = first(g, a!, b!);
    return [
      unbroadcast(g, g.where(second, 0, ct), a!.shape),
      unbroadcast(g, g.where(second, ct, 0), b!.shape),
    ];
  });

export const elementwiseRules: Pick<GradTable, Elementwise | Bits | Rest> = {
  BitwiseAnd: "not differentiable",
  BitShift: "not differentiable",
  Add: single((g, ct, [a, b]) => [unbroadcast(g, ct, a!.shape), unbroadcast(g, ct, b!.shape)]),
  Sub: single((g, ct, [a, b]) => [unbroadcast(g, ct, a!.shape), unbroadcast(g, g.neg(ct), b!.shape)]),
  Mul: single((g, ct, [a, b], _, needs) => [
    needs(0) ? unbroadcast(g, g.mul(ct, b!), a!.shape) : undefined,
    needs(1) ? unbroadcast(g, g.mul(ct, a!), b!.shape) : undefined,
  ]),
  Div: single((g, ct, [a, b], node, needs) => {
    const scaled = g.div(ct, b!);
    return [
      unbroadcast(g, scaled, a!.shape),
      needs(1) ? unbroadcast(g, g.neg(g.mul(scaled, node.outputs[0]!)), b!.shape) : undefined,
    ];
  }),
  Max: selected((g, a, b) => g.less(a, b)),
  Min: selected((g, a, b) => g.greater(a, b)),
  Less: "not differentiable",
  Greater: "not differentiable",
  Equal: "not differentiable",
  Neg: single((g, ct) => [g.neg(ct)]),
  Abs: single((g, ct, [x]) => [g.where(g.less(x!, 0), g.neg(ct), ct)]),
  Exp: single((g, ct, _, node) => [g.mul(ct, node.outputs[0]!)]),
  Log: single((g, ct, [x]) => [g.div(ct, x!)]),
  Sqrt: single((g, ct, _, node) => [g.div(g.mul(ct, 0.5), node.outputs[0]!)]),
  Reciprocal: single((g, ct, _, node) => [g.neg(g.mul(ct, g.mul(node.outputs[0]!, node.outputs[0]!)))]),
  Sigmoid: single((g, ct, _, node) => {
    const y = node.outputs[0]!;
    return [g.mul(ct, g.sub(y, g.mul(y, y)))];
  }),
  Tanh: single((g, ct, _, node) => {
    const y = node.outputs[0]!;
    return [g.mul(ct, g.sub(1, g.mul(y, y)))];
  }),
  Cast: single<"Cast">((g, ct, [x]) => [isFloat(x!.dtype) ? g.cast(ct, x!.dtype) : undefined]),
  // y = x s with s = sigmoid(alpha x), so y' = s + alpha (y - y s).
  QuickGelu: single<"QuickGelu">((g, ct, [x], node) => {
    const { alpha } = node.attributes;
    const y = node.outputs[0]!;
    const s = g.sigmoid(alpha === 1 ? x! : g.mul(x!, alpha));
    const bend = alpha === 1 ? y : g.mul(y, alpha);
    return [g.mul(ct, g.sub(g.add(s, bend), g.mul(bend, s)))];
  }),
  Where: single((g, ct, [condition, a, b], _, needs) => [
    undefined,
    needs(1) ? unbroadcast(g, g.where(condition!, ct, 0), a!.shape) : undefined,
    needs(2) ? unbroadcast(g, g.where(condition!, 0, ct), b!.shape) : undefined,
  ]),
};
