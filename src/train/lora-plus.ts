/** Learning rates by element: what LoRA+ changes of AdamW. */
import type { ParameterEntry } from "../model/nn/index.ts";

/**
 * LoRA+ (Hayou et al., 2024): B learns `ratio` times as fast as A, and so do vectors such as DoRA's magnitudes and norms,
 * as in PEFT. One factor an element of the trainable vector.
 */
export function loraPlusFactors(
  entries: readonly ParameterEntry[],
  size: number,
  ratio: number,
): Float32Array {
  const factors = new Float32Array(size).fill(1);
  for (const { name, shape, offset, size: count } of entries)
    if (name.endsWith(".lora_B.weight") || shape.length === 1) factors.fill(ratio, offset, offset + count);
  return factors;
}
