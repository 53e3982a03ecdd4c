/** Which products of an 8-bit base are in 8 bits. */
import { type Linear, type Products, int8LinearIn } from "../nn/index.ts";
import type { ModelSpec } from "./model-spec.ts";

/** The linear layers of an 8-bit base: forward all in 8 bits but the early down layers. */
export function int8Layers(spec: ModelSpec, backward: Products = "int8"): Linear {
  const early = isEarlyDown(spec);
  const [exact, rounded] = [int8LinearIn("float32", backward), int8LinearIn("int8", backward)];
  return (scope, ...rest) => (early(scope.path) ? exact : rounded)(scope, ...rest);
}

/**
 * Whether the layer at a path is a down layer of the first tenth of blocks: for what they cost, their inputs are worth most
 * in float32 (dev/LOG.md).
 */
export function isEarlyDown({ layers }: ModelSpec): (path: string) => boolean {
  const early = Array.from({ length: Math.ceil(layers / 10) }, (_, i) => `model.layers.${i}.mlp.down_proj`);
  return (path) => early.includes(path);
}
