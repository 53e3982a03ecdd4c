/** Learning rates by element: what LoRA+ changes of AdamW. */

/** LoRA+ (Hayou et al., 2024): B learns `ratio` times as fast as A. One factor an element of the trainable vector. */
export function loraPlusFactors(
  entries: readonly { readonly name: string; readonly offset: number; readonly size: number }[],
  size: number,
  ratio: number,
): Float32Array {
  const factors = new Float32Array(size).fill(1);
  for (const { name, offset, size: count } of entries)
    if (name.endsWith(".lora_B.weight")) factors.fill(ratio, offset, offset + count);
  return factors;
}
