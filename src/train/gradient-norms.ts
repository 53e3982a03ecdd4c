/** The gradient's norm by adapted layer. */
import { type ParameterLayout, parameterViews } from "../model/nn/index.ts";

/** gradient [N] → √Σ g² over all parameters of each layer; a layer is what stands before `.lora_…`, `.weight` or `.bias`. */
export function layerNorms(layout: ParameterLayout, gradient: Float32Array): Record<string, number> {
  const squares = new Map<string, number>();
  for (const [name, view] of parameterViews(layout, gradient)) {
    const layer = name.replace(/(\.lora_[A-Za-z_]+)?(\.(weight|bias))?$/, "");
    let sum = squares.get(layer) ?? 0;
    for (const value of view) sum += value * value;
    squares.set(layer, sum);
  }
  return Object.fromEntries([...squares].map(([layer, sum]) => [layer, Math.sqrt(sum)]));
}
