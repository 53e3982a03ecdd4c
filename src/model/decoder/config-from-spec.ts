/** ModelSpec → the `config.json` by which transformers opens a model of that kind. */
import { UserError } from "../../util/index.ts";
import type { ModelSpec, RopeSpec } from "./model-spec.ts";

/**
 * A Llama whose every layer has a sliding window is written as a Mistral, which is the same with one. `dtype` names how
 * the weights are stored.
 */
export function configFromSpec(
  spec: ModelSpec,
  dtype: "float32" | "bfloat16" | "float16",
): Record<string, unknown> {
  const sliding = spec.layerAttention.includes("sliding");
  const asMistral = sliding && spec.family === "llama";
  if (asMistral && (spec.attentionBias.qkv || spec.attentionBias.output || spec.mlpBias)) {
    throw new UserError("a Llama with biases and a sliding window has no counterpart in transformers", {
      at: "training.slidingWindow",
      next: "Leave the window out, or train an adapter.",
    });
  }
  const family = asMistral ? "mistral" : spec.family;
  return {
    architectures: [asMistral ? "MistralForCausalLM" : spec.architecture],
    model_type: family,
    vocab_size: spec.vocabulary,
    hidden_size: spec.hiddenSize,
    intermediate_size: spec.mlpWidth,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.kvHeads,
    head_dim: spec.headWidth,
    hidden_act: spec.activation,
    max_position_embeddings: spec.contextLength,
    rms_norm_eps: spec.normEpsilon,
    tie_word_embeddings: spec.tiedEmbeddings,
    ...ropeOf(spec.rope),
    ...(family === "llama" ? { attention_bias: spec.attentionBias.qkv, mlp_bias: spec.mlpBias } : {}),
    ...(family === "qwen3" ? { attention_bias: spec.attentionBias.qkv } : {}),
    ...(family === "llama" ? {} : { sliding_window: sliding ? spec.slidingWindow! : null }),
    ...(family === "qwen2" || family === "qwen3"
      ? {
          use_sliding_window: sliding,
          max_window_layers: sliding ? spec.layerAttention.indexOf("sliding") : spec.layers,
          layer_types: spec.layerAttention.map((kind) => `${kind}_attention`),
        }
      : {}),
    bos_token_id: spec.bosId ?? null,
    eos_token_id: spec.eosIds.length === 1 ? spec.eosIds[0]! : [...spec.eosIds],
    pad_token_id: spec.padId ?? null,
    initializer_range: 0.02,
    use_cache: true,
    torch_dtype: dtype,
  };
}

/** Both spellings: `rope_theta` with `rope_scaling` for older readers, `rope_parameters` is made of them by newer ones. */
function ropeOf({ theta, scaling }: RopeSpec): Record<string, unknown> {
  switch (scaling.kind) {
    case "none":
      return { rope_theta: theta };
    case "linear":
      return { rope_theta: theta, rope_scaling: { rope_type: "linear", factor: scaling.factor } };
    case "llama3":
      return {
        rope_theta: theta,
        rope_scaling: {
          rope_type: "llama3",
          factor: scaling.factor,
          low_freq_factor: scaling.lowFrequencyFactor,
          high_freq_factor: scaling.highFrequencyFactor,
          original_max_position_embeddings: scaling.originalContext,
        },
      };
    case "factors":
      throw new UserError(
        "the GGUF stretches each rotary frequency by a factor of its own, which config.json cannot say",
        {
          next: "Take the model's safetensors checkpoint instead of the GGUF, or train an adapter.",
        },
      );
  }
}
