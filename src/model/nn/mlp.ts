/** The gated feed-forward layer (SwiGLU, Shazeer 2020). */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import type { Linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/** x [T, D] → down(silu(gate(x)) ⊙ up(x)) [T, D], inner width F. The scope stands at the layer. */
export type FeedForward = (scope: Scope, x: Value, width: number, bias: boolean) => Value;

/** Of three linear layers. */
export function mlp(linear: Linear): FeedForward {
  return (scope, x, width, bias) => {
    const gate = linear(scope.at("gate_proj"), x, width, bias);
    const up = linear(scope.at("up_proj"), x, width, bias);
    return linear(scope.at("down_proj"), gated(scope.g, gate, up), x.shape.at(-1) as number, bias);
  };
}

/** silu(a) ⊙ b. Its gradient forms silu(a) again: one pass more, and of three [T, F] matrices a layer two are kept. */
function gated(g: GraphBuilder, a: Value, b: Value): Value {
  const [product] = g.custom(
    [a, b],
    () => [g.mul(g.silu(a), b)],
    ([ct]) => {
      const { silu, da } = siluGradient(g, a, g.mul(ct!, b));
      return [da, g.mul(ct!, silu)];
    },
  );
  return product!;
}

/** silu(a), and ct ⊙ silu'(a). With s = sigmoid(a): silu = a s, silu' = s (1 + a − silu). */
export function siluGradient(
  g: GraphBuilder,
  a: Value,
  ct: Value,
): { readonly silu: Value; readonly da: Value } {
  const s = g.sigmoid(a);
  const silu = g.mul(a, s);
  const scaled = g.mul(ct, s);
  return { silu, da: g.add(scaled, g.mul(scaled, g.sub(a, silu))) };
}
