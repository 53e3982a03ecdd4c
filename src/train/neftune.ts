/** NEFTune: uniform noise on the embeddings of training sequences, from a counter as dropout's masks are. */
import { createCipheriv, createHash } from "node:crypto";
import { type Tensor, float32 } from "../compute/tensor/index.ts";

export interface EmbeddingNoise {
  /** [T, D] for sequences of these lengths; `draw` numbers the micro-batches of the whole run. */
  noise(draw: number, lengths: readonly number[]): Tensor<"float32">;
}

/**
 * Every element uniform in ±alpha / √(L·D), L the tokens of its sequence and D the model width. Source: Jain et al.,
 * 2023. Sixteen bits an element, from AES-128 in counter mode keyed by `seed`.
 */
export function embeddingNoise(seed: number, alpha: number, width: number): EmbeddingNoise {
  const key = createHash("sha256").update(`neftune\u0000${seed}`).digest().subarray(0, 16);
  return {
    noise: (draw, lengths) => {
      const tokens = lengths.reduce((a, b) => a + b, 0);
      const counter = Buffer.alloc(16);
      counter.writeBigUInt64BE(BigInt(draw), 0);
      const bytes = createCipheriv("aes-128-ctr", key, counter).update(Buffer.alloc(2 * tokens * width));
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const values = new Float32Array(tokens * width);
      let at = 0;
      for (const length of lengths) {
        const bound = alpha / Math.sqrt(length * width);
        for (const end = at + length * width; at < end; at++)
          values[at] = ((view.getUint16(2 * at, true) + 0.5) / 32768 - 1) * bound;
      }
      return float32([tokens, width], values);
    },
  };
}
