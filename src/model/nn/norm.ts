/** RMS normalisation over the last axis (Zhang and Sennrich, 2019). */
import type { Value } from "../../compute/graph/index.ts";
import type { Scope } from "./scope.ts";

/** x [.., D] → [.., D], scaled by the weight [D] at the scope. */
export function rmsNorm(scope: Scope, x: Value, epsilon: number): Value {
  const scale = scope.weight("weight", [x.shape.at(-1)!]);
  return scope.g.op("SimplifiedLayerNormalization", [x, scale], { axis: -1, epsilon });
}
