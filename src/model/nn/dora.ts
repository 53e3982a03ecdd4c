/** DoRA: a low-rank update whose rows are brought to magnitudes of their own. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import type { LoraOptions } from "./linear.ts";
import type { Scope } from "./scope.ts";

/**
 * y = m / ‖V‖ ⊙ x Vᵀ (+ bias), V = W + s·BA [O, I], with the magnitude m `lora_magnitude_vector` [O]. Source: Liu et al.,
 * 2024; ‖V‖ is a constant to the gradient, as in their section 4.3 and in PEFT. With dropout d, as PEFT computes it:
 * y = Wx + bias + (m / ‖V‖ − 1) ⊙ W d(x) + m / ‖V‖ ⊙ s · B(A d(x)). W must be plain float32.
 */
export function doraLinear(
  scope: Scope,
  x: Value,
  [a, b]: readonly [Value, Value],
  options: LoraOptions,
  outWidth: number,
  bias: boolean,
): Value {
  const { g } = scope;
  const { scale, dropout } = options;
  const weight = scope.weight("weight", [outWidth, x.shape.at(-1)!]);
  const magnitude = scope.weight("lora_magnitude_vector", [outWidth]);
  let y: Value;
  if (dropout === undefined) y = scaledProduct(g, x, weight, a, b, magnitude, scale);
  else {
    // Detached: nothing flows back through the norm.
    const [norm] = g.custom(
      [],
      () => [rowNorms(g, g.add(weight, g.matmul(b, a, { alpha: scale })))],
      () => [],
    );
    const factor = g.div(magnitude, norm!);
    const dropped = g.mul(dropout.keep(scope, x), dropout.scale);
    const base = g.mul(g.matmul(dropped, weight, { transB: true }), g.sub(factor, 1));
    const inner = g.matmul(dropped, a, { transB: true });
    const update = g.mul(g.matmul(inner, b, { transB: true, alpha: scale }), factor);
    y = g.add(g.matmul(x, weight, { transB: true }), g.add(base, update));
  }
  return bias ? g.add(y, scope.weight("bias", [outWidth])) : y;
}

/** ‖row‖ of V [O, I] → [O]. */
export function rowNorms(g: GraphBuilder, v: Value): Value {
  return g.sqrt(g.sum(g.mul(v, v), [1]));
}

/** V is formed once a batch, as for a merged LoRA, and its gradient never is. */
function scaledProduct(
  g: GraphBuilder,
  x: Value,
  weight: Value,
  a: Value,
  b: Value,
  magnitude: Value,
  scale: number,
): Value {
  let [merged, norm, factor, product] = [] as unknown as Value[];
  const [y] = g.custom(
    [x, a, b, magnitude],
    () => {
      merged = g.add(weight, g.matmul(b, a, { alpha: scale }));
      norm = rowNorms(g, merged);
      factor = g.div(magnitude, norm);
      product = g.matmul(x, merged, { transB: true });
      return [g.mul(product, factor)];
    },
    ([dy]) => {
      const scaled = g.mul(dy!, factor!);
      const u = g.matmul(x, a, { transB: true });
      const du = g.matmul(scaled, b, { alpha: scale });
      return [
        g.matmul(scaled, merged!),
        g.matmul(du, x, { transA: true }),
        g.matmul(scaled, u, { transA: true, alpha: scale }),
        g.div(g.sum(g.mul(dy!, product!), [0]), norm!),
      ];
    },
  );
  return y!;
}
