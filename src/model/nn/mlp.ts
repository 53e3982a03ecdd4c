/** The gated feed-forward layer (SwiGLU, Shazeer 2020). */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import type { Linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/** x [T, D] → down(silu(gate(x)) ⊙ up(x)) [T, D], inner width F. */
export function mlp(scope: Scope, x: Value, linear: Linear, width: number, bias: boolean): Value {
  const gate = linear(scope.at("gate_proj"), x, width, bias);
  const up = linear(scope.at("up_proj"), x, width, bias);
  return linear(scope.at("down_proj"), gated(scope.g, gate, up), x.shape.at(-1) as number, bias);
}

/**
 * silu(a) ⊙ b. Its gradient forms silu(a) again: one pass more, and of three [T, F] matrices a layer two are kept.
 * With s = sigmoid(a): silu = a s, silu' = s (1 + a − silu).
 */
function gated(g: GraphBuilder, a: Value, b: Value): Value {
  const [product] = g.custom(
    [a, b],
    () => [g.mul(g.silu(a), b)],
    ([ct]) => {
      const s = g.sigmoid(a);
      const silu = g.mul(a, s);
      const scaled = g.mul(g.mul(ct!, b), s);
      return [g.add(scaled, g.mul(scaled, g.sub(a, silu))), g.mul(ct!, silu)];
    },
  );
  return product!;
}
