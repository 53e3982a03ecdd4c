/** How much memory a training step will take, counted from the model's sizes before anything is loaded. */
import { type ModelSpec, type Recompute, parameterCount } from "../model/decoder/index.ts";

export interface MemoryEstimate {
  readonly weightBytes: number;
  /** What the forward pass keeps for the backward pass, at the largest micro-batch. */
  readonly activationBytes: number;
  /** One chunk of the vocabulary product and its probabilities. */
  readonly vocabularyBytes: number;
  /** Parameters in training, gradient and AdamW's two moments. */
  readonly optimizerBytes: number;
  readonly totalBytes: number;
}

export interface MemoryOptions {
  readonly trainable: number;
  /** T of the largest micro-batch. */
  readonly tokens: number;
  /** S of the longest sequence. */
  readonly longest: number;
  readonly lossChunks: number;
  readonly recompute: Recompute;
  /** How values are kept between forward and backward; absent: float32. */
  readonly activations?: "float32" | "float16";
  /** Of the weights as they are held; absent: float32. */
  readonly weightBytes?: number;
  /** Of a layer's weights that are formed anew for each product. */
  readonly scratchBytes?: number;
}

/** Float32 throughout. Counts the tensors that the loss graph keeps; the runtime itself takes about 300 MB more. */
export function estimateMemory(spec: ModelSpec, options: MemoryOptions): MemoryEstimate {
  const { hiddenSize: D, heads: H, kvHeads: K, headWidth: E, mlpWidth: F, vocabulary: V, layers } = spec;
  const { tokens, longest } = options;
  // Two norms and residuals (5 D), q and the context flat and padded (5 H·E), k and v (4 K·E), gate, up, their silu and product (4 F).
  const perToken = 5 * D + 5 * H * E + 4 * K * E + 4 * F;
  const probabilities = H * tokens * longest;
  const keptLayers = options.recompute === "blocks" ? 1 : layers;
  const keptAttentions = options.recompute === "none" ? layers : 1;
  const kept = options.recompute === "blocks" ? 4 * D * tokens * layers : 0;
  const { weightBytes = 4 * parameterCount(spec), scratchBytes = 0 } = options;
  const halved = options.activations === "float16";
  // The residual stream, 2 D, stays float32.
  const bytesAToken = halved ? 2 * perToken + 4 * D : 4 * perToken;
  const activationBytes =
    bytesAToken * tokens * keptLayers + (halved ? 2 : 4) * probabilities * keptAttentions + kept;
  const vocabularyBytes = 3 * 4 * V * Math.ceil(tokens / options.lossChunks);
  const optimizerBytes = 6 * 4 * options.trainable;
  const runtimeBytes = 300e6;
  return {
    weightBytes,
    activationBytes,
    vocabularyBytes,
    optimizerBytes,
    totalBytes:
      weightBytes + scratchBytes + activationBytes + vocabularyBytes + optimizerBytes + runtimeBytes,
  };
}
