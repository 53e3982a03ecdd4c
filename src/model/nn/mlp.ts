/** The gated feed-forward layer (SwiGLU, Shazeer 2020). */
import type { Value } from "../../compute/graph/index.ts";
import type { Linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/** x [T, D] → down(silu(gate(x)) ⊙ up(x)) [T, D], inner width F. */
export function mlp(scope: Scope, x: Value, linear: Linear, width: number, bias: boolean): Value {
  const { g } = scope;
  const gate = linear(scope.at("gate_proj"), x, width, bias);
  const up = linear(scope.at("up_proj"), x, width, bias);
  return linear(scope.at("down_proj"), g.mul(g.silu(gate), up), x.shape.at(-1) as number, bias);
}
