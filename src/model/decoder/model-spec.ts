/** What a LLaMA-family model is: the declared fields by which one family differs from another, and nothing else. */
import { UserError } from "../../util/index.ts";

export type ModelFamily = "llama" | "mistral" | "qwen2" | "qwen3";

/** How the rotary frequencies are stretched beyond the context the model was pre-trained with. */
export type RopeScaling =
  | { readonly kind: "none" }
  /** Every frequency is divided by `factor` (position interpolation, Chen et al. 2023). */
  | { readonly kind: "linear"; readonly factor: number }
  /** Long wavelengths divided by `factor`, short ones kept, a ramp between (Llama 3.1). */
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      /** Tokens of context before the stretch. */
      readonly originalContext: number;
    }
  /** Each of the E/2 frequencies is divided by its own factor (the tensor `rope_freqs.weight` of a GGUF). */
  | { readonly kind: "factors"; readonly factors: readonly number[] };

export interface RopeSpec {
  readonly theta: number;
  readonly scaling: RopeScaling;
}

/** `sliding`: a token sees the last `slidingWindow` tokens, itself included; `full`: every earlier one. */
export type LayerAttention = "full" | "sliding";

export interface ModelSpec {
  readonly family: ModelFamily;
  /** The class name in `config.json`, such as `LlamaForCausalLM`. */
  readonly architecture: string;
  /** D */
  readonly hiddenSize: number;
  readonly layers: number;
  /** H */
  readonly heads: number;
  /** K; H is a multiple of it. */
  readonly kvHeads: number;
  /** E; even. H·E need not be D. */
  readonly headWidth: number;
  /** F */
  readonly mlpWidth: number;
  /** V: rows of the embedding matrix, which may be padded beyond the tokenizer's tokens. */
  readonly vocabulary: number;
  readonly normEpsilon: number;
  readonly rope: RopeSpec;
  /** Tokens. */
  readonly contextLength: number;
  /** Tokens; present when some layer is `sliding`. */
  readonly slidingWindow?: number;
  /** One entry a layer. */
  readonly layerAttention: readonly LayerAttention[];
  readonly attentionBias: { readonly qkv: boolean; readonly output: boolean };
  readonly mlpBias: boolean;
  /** RMS norm over each head of q and k, before the rotation (Qwen3). */
  readonly qkNorm: boolean;
  /** The vocabulary product uses the embedding matrix; there is no `lm_head.weight`. */
  readonly tiedEmbeddings: boolean;
  readonly activation: "silu";
  readonly bosId?: number;
  /** Tokens that end a generation; may be empty. */
  readonly eosIds: readonly number[];
  readonly padId?: number;
}

/**
 * The E/2 angular steps of the rotary embedding, radians a position, scaling applied, in float64.
 * Sources: Su et al. 2021 (RoFormer); transformers `modeling_rope_utils.py` for the scalings.
 */
export function ropeFrequencies(spec: Pick<ModelSpec, "headWidth" | "rope">): Float64Array {
  const { theta, scaling } = spec.rope;
  return Float64Array.from({ length: spec.headWidth / 2 }, (_, i) =>
    scaleFrequency(theta ** ((-2 * i) / spec.headWidth), i, scaling),
  );
}

/**
 * The model with every layer limited to the last `window` tokens, for training and use alike. A window wider than the
 * model's own would show layers what they have never seen: that is a `UserError`.
 */
export function withSlidingWindow(spec: ModelSpec, window: number): ModelSpec {
  const own = spec.layerAttention.includes("sliding") ? spec.slidingWindow : undefined;
  if (own !== undefined && window > own) {
    throw new UserError(`a sliding window of ${window} tokens is wider than the model's own, ${own}`, {
      at: "training.slidingWindow",
      next: `Leave it out, or give at most ${own}.`,
    });
  }
  return { ...spec, slidingWindow: window, layerAttention: spec.layerAttention.map(() => "sliding") };
}

function scaleFrequency(frequency: number, index: number, scaling: RopeScaling): number {
  switch (scaling.kind) {
    case "none":
      return frequency;
    case "linear":
      return frequency / scaling.factor;
    case "factors":
      return frequency / scaling.factors[index]!;
    case "llama3": {
      // Periods of this frequency within the original context decide where it lies between the two regimes.
      const periods = (scaling.originalContext * frequency) / (2 * Math.PI);
      const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
      const kept = Math.min(1, Math.max(0, (periods - low) / (high - low)));
      return kept * frequency + ((1 - kept) * frequency) / scaling.factor;
    }
  }
}

/** Refuses a spec whose values contradict one another; the message names both. `at` is the file it came from. */
export function validateSpec(spec: ModelSpec, at: string): ModelSpec {
  const refuse = (problem: string): never => {
    throw new UserError(problem, { at, next: "Check that the file is complete and belongs to this model." });
  };
  if (spec.heads % spec.kvHeads !== 0) {
    refuse(
      `${spec.heads} attention heads cannot be shared by ${spec.kvHeads} key-value heads: not a multiple`,
    );
  }
  if (spec.headWidth % 2 !== 0) {
    refuse(`the head width is ${spec.headWidth}; rotary embedding needs an even number`);
  }
  if (spec.layerAttention.length !== spec.layers) {
    refuse(`layer_types names ${spec.layerAttention.length} layers, but the model has ${spec.layers}`);
  }
  if (spec.layerAttention.includes("sliding") && spec.slidingWindow === undefined) {
    refuse("layer_types asks for sliding attention, but no sliding_window is given");
  }
  const { scaling } = spec.rope;
  if (scaling.kind === "factors" && scaling.factors.length !== spec.headWidth / 2) {
    refuse(
      `the rotary factors have ${scaling.factors.length} values; a head width of ${spec.headWidth} needs ${spec.headWidth / 2}`,
    );
  }
  if (
    scaling.kind === "factors" &&
    scaling.factors.some((factor) => !(factor > 0 && Number.isFinite(factor)))
  ) {
    refuse("the rotary factors hold a value that is not a positive number");
  }
  if (scaling.kind === "llama3" && scaling.lowFrequencyFactor >= scaling.highFrequencyFactor) {
    refuse(
      `low_freq_factor is ${scaling.lowFrequencyFactor}; it must be below high_freq_factor, ${scaling.highFrequencyFactor}`,
    );
  }
  // A padding id past the vocabulary is common and harmless: padding is masked by position.
  for (const [name, id] of [["bos", spec.bosId] as const, ...spec.eosIds.map((id) => ["eos", id] as const)]) {
    if (id !== undefined && id >= spec.vocabulary) {
      refuse(`the ${name} token id is ${id}, but the vocabulary has ${spec.vocabulary} entries`);
    }
  }
  return spec;
}
