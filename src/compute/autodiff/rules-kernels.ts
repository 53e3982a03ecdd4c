/** Gradients of the language-model kernels. Quantised ops have none: their users give a custom gradient. */
import { type GraphBuilder, GraphError, type Value } from "../graph/index.ts";
import { type GradTable, knownCount } from "./rule.ts";

type Kernel =
  | "SimplifiedLayerNormalization"
  | "SkipSimplifiedLayerNormalization"
  | "RotaryEmbedding"
  | "GroupQueryAttention";
type Quantised =
  | "QuantizeLinear"
  | "DequantizeLinear"
  | "MatMulInteger"
  | "QGemm"
  | "MatMulNBits"
  | "DynamicQuantizeMatMul";

/**
 * y = scale · x · inv with inv = 1/rms(x). With t = ct · scale · inv, whose factors a product behind it may carry:
 * dx = t − x · inv² · mean(t · x), dscale = Σ rows ct · x · inv.
 */
function rmsNormGradient(
  g: GraphBuilder,
  ct: Value,
  x: Value,
  scale: Value,
  inverse: Value,
  needScale: boolean,
): { dx: Value; dScale: Value | undefined } {
  const t = g.mul(g.mul(ct, scale), inverse);
  const correlation = g.mean(g.mul(t, x), [-1], true);
  const dx = g.sub(t, g.mul(x, g.mul(g.mul(inverse, inverse), correlation)));
  const rows = x.shape.slice(0, -1).map((_, axis) => axis);
  const dScale = needScale ? g.sum(g.mul(ct, g.mul(x, inverse)), rows) : undefined;
  return { dx, dScale };
}

export const kernelRules: Pick<GradTable, Kernel | Quantised> = {
  SimplifiedLayerNormalization: (g, node, [ct, ctInverse], needs) => {
    if (ctInverse !== undefined) throw new GraphError("SimplifiedLayerNormalization: 1/rms has no gradient");
    if (ct === undefined) return [];
    knownCount(node, node.inputs[0]!.shape, [-1]);
    const { dx, dScale } = rmsNormGradient(
      g,
      ct,
      node.inputs[0]!,
      node.inputs[1]!,
      node.outputs[1]!,
      needs(1),
    );
    return [dx, dScale];
  },
  SkipSimplifiedLayerNormalization: (g, node, [ct, ctSum], needs) => {
    const sum = node.outputs[1]!;
    if (ct === undefined) return [ctSum, ctSum, undefined];
    const { epsilon } = node.attributes;
    const inverse = g.node("SimplifiedLayerNormalization", [sum, node.inputs[2]], { axis: -1, epsilon })[1]!;
    const { dx, dScale } = rmsNormGradient(g, ct, sum, node.inputs[2]!, inverse, needs(2));
    const total = ctSum === undefined ? dx : g.add(dx, ctSum);
    return [total, total, dScale];
  },
  // A rotation's transpose is the rotation by the opposite angle.
  RotaryEmbedding: (g, node, [ct]) => {
    if (ct === undefined) return [];
    const [, positions, cos, sin] = node.inputs;
    return [
      g.op("RotaryEmbedding", [ct, positions, cos, g.neg(sin!)], node.attributes),
      undefined,
      undefined,
      undefined,
    ];
  },
  GroupQueryAttention: "not differentiable",
  QuantizeLinear: "not differentiable",
  DequantizeLinear: "not differentiable",
  MatMulInteger: "not differentiable",
  QGemm: "not differentiable",
  MatMulNBits: "not differentiable",
  DynamicQuantizeMatMul: "not differentiable",
};
