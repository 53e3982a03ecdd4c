/** Products of a frozen layer that are in 8 bits one way and in float32 the other. */
import type { Value } from "../../compute/graph/index.ts";
import { scalar } from "../../compute/tensor/index.ts";
import { inputScope, int8Linear, integerProduct, quantiseByToken } from "./int8.ts";
import type { Linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/** How the backward product of a frozen layer is computed. */
export type Backward = "float32" | "int8";

/**
 * dx = dy W with W ≈ diag(scale) · q, q [O, I] int8 and scale [O]: dy ⊙ scale is quantised by token. Never by tensor:
 * the gradient's direction would be lost.
 */
export function int8BackwardProduct({ g }: Scope, dy: Value, q: Value, scale: Value): Value {
  const [codes, step] = quantiseByToken(g, g.mul(dy, scale));
  return g.mul(integerProduct(g, codes, q, g.constant(scalar(1)), false), step);
}

/** diag(scale) · q as float32, not before `token` exists: no float copy lives longer than its product. */
export function rowsAsFloats({ g }: Scope, token: Value, q: Value, scale: Value): Value {
  return g.op("DequantizeLinear", [g.barrier(q, token), scale], { axis: 0, block_size: 0 });
}

/** `int8Linear` whose forward product is in float32: x is not rounded, the weights are what their codes stand for. */
export const int8LinearFloatForward: Linear = (scope, x, outWidth, bias = false) => {
  const { g } = scope;
  const inWidth = x.shape.at(-1)!;
  const q = scope.weight("weight.int8", [outWidth, inWidth], "int8");
  const scale = scope.weight("weight.scale", [outWidth]);
  const inverse = inputScope(scope).weight("smoothing", [inWidth]);
  const [y] = g.custom(
    [x],
    () => [g.matmul(g.mul(x, inverse), rowsAsFloats(scope, x, q, scale), { transB: true })],
    ([dy]) => [g.mul(int8BackwardProduct(scope, dy!, q, scale), inverse)],
  );
  return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
};

/** `int8Linear` whose backward product is in float32: exact for the weights that the codes stand for. */
export const int8LinearFloatBackward: Linear = (scope, x, outWidth, bias = false) => {
  const { g } = scope;
  const inWidth = x.shape.at(-1)!;
  const [y] = g.custom(
    [x],
    () => [int8Linear(scope, x, outWidth)],
    ([dy]) => {
      const q = scope.weight("weight.int8", [outWidth, inWidth], "int8");
      const scale = scope.weight("weight.scale", [outWidth]);
      const inverse = inputScope(scope).weight("smoothing", [inWidth]);
      return [g.mul(g.matmul(dy!, rowsAsFloats(scope, dy!, q, scale)), inverse)];
    },
  );
  return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
};
