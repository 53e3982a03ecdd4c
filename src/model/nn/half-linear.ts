/** Linear layers over a frozen base that is held in float16. */
import type { Value } from "../../compute/graph/index.ts";
import type { Linear } from "./linear.ts";

/**
 * y = x Wᵀ and dx = dy W with `weight` [O, I] float16. Where products are float32 W is widened for each, behind a
 * barrier on what it is multiplied with, for else a float32 copy of every layer would live from the forward product
 * to the backward one; `native` leaves the cast to `autocast`, which takes W as it is.
 */
export function halfLinear(products: "native" | "rounded"): Linear {
  return (scope, x, outWidth, bias = false) => {
    const { g } = scope;
    const held = scope.weight("weight", [outWidth, x.shape.at(-1) as number], "float16");
    const weight = (token: Value): Value =>
      g.cast(products === "native" ? held : g.barrier(held, token), "float32");
    const [y] = g.custom(
      [x],
      () => [g.matmul(x, weight(x), { transB: true })],
      ([dy]) => [g.matmul(dy!, weight(dy!))],
    );
    return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
  };
}
