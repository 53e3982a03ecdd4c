/** Which trained parameters weight decay applies to. */
import type { ParameterEntry } from "../model/nn/index.ts";

/** [N]: 1 on matrices, 0 on norms, biases and other vectors, as transformers' Trainer and GPT-NeoX have it. */
export function matricesAlone(entries: readonly ParameterEntry[], size: number): Uint8Array {
  const decayed = new Uint8Array(size);
  for (const { shape, offset, size: count } of entries)
    if (shape.length > 1) decayed.fill(1, offset, offset + count);
  return decayed;
}
