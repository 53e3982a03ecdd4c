/** The first values of an adapter, as PEFT draws them. */
import { type ParameterLayout, parameterViews } from "../model/nn/index.ts";
import { random } from "../util/index.ts";

/** A uniform in ±1/√I (Kaiming with a = √5), B zero: the adapted model starts equal to the base. */
export function initialAdapter(layout: ParameterLayout, seed: number): Float32Array {
  const flat = new Float32Array(layout.size);
  const dice = random(seed, "adapter initialisation");
  const views = parameterViews(layout, flat);
  for (const { name, shape } of layout.entries) {
    if (!name.endsWith("lora_A.weight")) continue;
    const bound = 1 / Math.sqrt(shape[1]!);
    const view = views.get(name)!;
    for (let i = 0; i < view.length; i++) view[i] = (2 * dice.next() - 1) * bound;
  }
  return flat;
}
