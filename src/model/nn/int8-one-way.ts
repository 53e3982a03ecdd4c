/** Products of a frozen layer that are in 8 bits one way and in float32 the other. */
import type { Value } from "../../compute/graph/index.ts";
import { int8Backward, int8Linear, int8Layer } from "./int8.ts";
import type { Linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/** How the backward product of a frozen layer is computed. */
export type Backward = "float32" | "int8";

/** diag(scale) · q as float32, not before `token` exists: no float copy lives longer than its product. */
export function rowsAsFloats({ g }: Scope, token: Value, q: Value, scale: Value): Value {
  return g.op("DequantizeLinear", [g.barrier(q, token), scale], { axis: 0, block_size: 0 });
}

/** `int8Linear` whose forward product is in float32: x is not rounded, the weights are what their codes stand for. */
export const int8LinearFloatForward: Linear = (scope, x, outWidth, bias = false) => {
  const { g } = scope;
  const weight = int8Layer(scope, outWidth, x.shape.at(-1)!);
  const [y] = g.custom(
    [x],
    () => {
      const rows = rowsAsFloats(scope, x, weight.codes, weight.scale);
      return [g.matmul(g.mul(x, weight.inverse), rows, { transB: true })];
    },
    ([dy]) => [int8Backward(g, dy!, weight)],
  );
  return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
};

/** `int8Linear` whose backward product is in float32: exact for the weights that the codes stand for. */
export const int8LinearFloatBackward: Linear = (scope, x, outWidth, bias = false) => {
  const { g } = scope;
  const { codes, scale, inverse } = int8Layer(scope, outWidth, x.shape.at(-1)!);
  const [y] = g.custom(
    [x],
    () => [int8Linear(scope, x, outWidth)],
    ([dy]) => [g.mul(g.matmul(dy!, rowsAsFloats(scope, dy!, codes, scale)), inverse)],
  );
  return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
};
