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

/** silu(a) ⊙ b. Of three [T, F] matrices a layer two are kept. */
function gated(g: GraphBuilder, a: Value, b: Value): Value {
  let factors: GatedProduct;
  const [product] = g.custom(
    [a, b],
    () => {
      factors = gatedProduct(g, a, b);
      return [factors.product];
    },
    ([ct]) => [g.mul(ct!, factors.slope), g.mul(ct!, factors.silu)],
  );
  return product!;
}

/** p = silu(a) ⊙ b and its derivatives by b and a. */
export interface GatedProduct {
  readonly product: Value;
  /** ∂p/∂b = silu(a) */
  readonly silu: Value;
  /** ∂p/∂a = b silu'(a) */
  readonly slope: Value;
}

/**
 * With s = sigmoid(a), silu' = s + silu (1 − s) and so b silu' = p + s (b − p): three passes. The derivatives stand where a and b
 * stood, so the product waits for them: in the backward pass a and b would have to be kept for them.
 */
export function gatedProduct(g: GraphBuilder, a: Value, b: Value): GatedProduct {
  const s = g.sigmoid(a);
  const silu = g.mul(a, s);
  const product = g.mul(silu, b);
  const slope = g.add(product, g.mul(s, g.sub(b, product)));
  return { product: g.barrier(product, slope), silu, slope };
}
