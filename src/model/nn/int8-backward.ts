/** The backward product of a frozen layer in 8 bits, whatever its forward product is. */
import type { Value } from "../../compute/graph/index.ts";
import { scalar } from "../../compute/tensor/index.ts";
import { integerProduct, quantiseByToken } from "./int8.ts";
import type { Scope } from "./scope.ts";

/**
 * dx = dy W with W ≈ diag(scale) · q, q `backward.int8` [O, I] and `backward.scale` [O]: dy ⊙ scale is quantised by
 * token. Never by tensor: the gradient's direction would be lost.
 */
export function int8BackwardProduct(scope: Scope, dy: Value, inWidth: number): Value {
  const { g } = scope;
  const outWidth = dy.shape.at(-1)!;
  const q = scope.weight("backward.int8", [outWidth, inWidth], "int8");
  const scale = scope.weight("backward.scale", [outWidth]);
  const [codes, step] = quantiseByToken(g, g.mul(dy, scale));
  return g.mul(integerProduct(g, codes, q, g.constant(scalar(1)), false), step);
}
