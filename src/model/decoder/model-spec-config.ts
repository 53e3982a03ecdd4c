/** `config.json` of a Hugging Face checkpoint → ModelSpec. */
import { z } from "zod";
import { UserError } from "../../util/index.ts";
import {
  type FamilyRules,
  families,
  isSupportedFamily,
  unsupportedArchitecture,
} from "./model-spec-families.ts";
import {
  type LayerAttention,
  type ModelFamily,
  type ModelSpec,
  type RopeScaling,
  type RopeSpec,
  validateSpec,
} from "./model-spec.ts";

const count = (most: number) => z.int().min(1).max(most);
const tokenId = z.int().min(0).max(16_777_215);
const factor = z.number().gt(0).max(1e6);

/** Bounds far above any real model: they stop absurd allocations, not unusual models. */
const configSchema = z.looseObject({
  vocab_size: count(16_777_216),
  hidden_size: count(65_536),
  intermediate_size: count(1_048_576),
  num_hidden_layers: count(1024),
  num_attention_heads: count(4096),
  num_key_value_heads: count(4096).nullish(),
  head_dim: count(4096).nullish(),
  hidden_act: z.string().nullish(),
  max_position_embeddings: count(1_000_000_000).nullish(),
  rms_norm_eps: z.number().gt(0).lt(1).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  rope_theta: z.number().gt(1).max(1e12).nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  partial_rotary_factor: z.number().nullish(),
  use_sliding_window: z.boolean().nullish(),
  sliding_window: count(1_000_000_000).nullish(),
  max_window_layers: z.int().min(0).max(1_000_000).nullish(),
  layer_types: z.array(z.string()).max(1024).nullish(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId).max(256)]).nullish(),
  pad_token_id: z.int().min(-1).max(16_777_215).nullish(),
});
type Config = z.infer<typeof configSchema>;

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().gt(1).max(1e12).optional(),
  factor: factor.optional(),
  low_freq_factor: factor.optional(),
  high_freq_factor: factor.optional(),
  original_max_position_embeddings: count(1_000_000_000).nullish(),
  partial_rotary_factor: z.number().nullish(),
});

/** Reads the parsed `config.json`. `at` is its path, for messages. */
export function specFromConfig(config: unknown, at = "config.json"): ModelSpec {
  const family = familyOf(config, at);
  const c = parse(configSchema, config, at, "");
  const rules = families[family];
  if (!["silu", "swish"].includes(c.hidden_act ?? "silu")) {
    throw new UserError(`hidden_act is ${JSON.stringify(c.hidden_act)}; only silu is supported`, { at });
  }
  const headWidth = headWidthOf(c, rules, at);
  const contextLength = c.max_position_embeddings ?? rules.defaults.contextLength;
  const bosId = c.bos_token_id === undefined ? rules.defaults.bosId : (c.bos_token_id ?? undefined);
  return validateSpec(
    {
      family,
      architecture: rules.architecture,
      hiddenSize: c.hidden_size,
      layers: c.num_hidden_layers,
      heads: c.num_attention_heads,
      kvHeads:
        (c.num_key_value_heads === undefined ? rules.defaults.kvHeads : c.num_key_value_heads) ??
        c.num_attention_heads,
      headWidth,
      mlpWidth: c.intermediate_size,
      vocabulary: c.vocab_size,
      normEpsilon: c.rms_norm_eps ?? 1e-6,
      rope: ropeOf(c, contextLength, at),
      contextLength,
      ...slidingOf(c, rules, at),
      attentionBias:
        rules.attentionBias === "configured"
          ? { qkv: c.attention_bias ?? false, output: c.attention_bias ?? false }
          : rules.attentionBias,
      mlpBias: rules.mlpBias === "configured" && (c.mlp_bias ?? false),
      qkNorm: rules.qkNorm,
      tiedEmbeddings: c.tie_word_embeddings ?? false,
      activation: "silu",
      ...(bosId === undefined ? {} : { bosId }),
      eosIds: c.eos_token_id === undefined ? rules.defaults.eosIds : [c.eos_token_id ?? []].flat(),
      // Older checkpoints write −1 for "no padding token".
      ...(c.pad_token_id === undefined || c.pad_token_id === null || c.pad_token_id < 0
        ? {}
        : { padId: c.pad_token_id }),
    },
    at,
  );
}

function familyOf(config: unknown, at: string): ModelFamily {
  const head = parse(
    z.looseObject({
      model_type: z.string().nullish(),
      architectures: z.array(z.string()).max(16).nullish(),
      quantization_config: z.looseObject({ quant_method: z.string().nullish() }).nullish(),
    }),
    config,
    at,
    "",
  );
  const architecture = head.architectures?.[0];
  const byArchitecture = Object.entries(families).find(
    ([, rules]) => rules.architecture.toLowerCase() === architecture?.toLowerCase(),
  )?.[0];
  if (architecture !== undefined && byArchitecture === undefined)
    throw unsupportedArchitecture(architecture, at);
  const family = head.model_type ?? byArchitecture;
  if (family === undefined) {
    throw new UserError("neither model_type nor architectures is given, so the kind of model is unknown", {
      at,
      next: "Take the config.json that was published with the model.",
    });
  }
  if (!isSupportedFamily(family)) throw unsupportedArchitecture(family, at);
  if (byArchitecture !== undefined && byArchitecture !== family) {
    throw new UserError(`model_type is ${family}, but architectures says ${architecture}`, {
      at,
      next: "Make the two agree.",
    });
  }
  const quantised = head.quantization_config;
  if (quantised !== undefined && quantised !== null) {
    throw new UserError(
      `the checkpoint is quantised with ${JSON.stringify(quantised.quant_method ?? "an unnamed method")}, which cannot be read`,
      { at, next: "Take the float16, bfloat16 or float32 checkpoint, or a GGUF of the model." },
    );
  }
  return family;
}

function headWidthOf(c: Config, rules: FamilyRules, at: string): number {
  const declared = c.head_dim === undefined ? rules.defaults.headWidth : c.head_dim;
  if (declared !== undefined && declared !== null) return declared;
  if (c.hidden_size % c.num_attention_heads !== 0) {
    throw new UserError(
      `hidden_size ${c.hidden_size} is not a multiple of num_attention_heads ${c.num_attention_heads}, and head_dim is not given`,
      { at, next: "Check that the file is complete and belongs to this model." },
    );
  }
  return c.hidden_size / c.num_attention_heads;
}

/** Old checkpoints: `rope_theta` and `rope_scaling` (`type` or `rope_type`); transformers 5: `rope_parameters`. */
function ropeOf(c: Config, contextLength: number, at: string): RopeSpec {
  const key = c.rope_parameters ? "rope_parameters" : "rope_scaling";
  const raw = c.rope_parameters ?? c.rope_scaling ?? {};
  const nested = Object.keys(raw).find((name) => name.endsWith("_attention"));
  if (nested !== undefined) {
    throw new UserError(`${key} differs by layer type (${nested}); one setting for all layers is supported`, {
      at,
    });
  }
  const rope = parse(ropeSchema, raw, at, key);
  const rotary = rope.partial_rotary_factor ?? c.partial_rotary_factor ?? 1;
  if (rotary !== 1) {
    throw new UserError(`partial_rotary_factor is ${rotary}; only rotation of whole heads (1) is supported`, {
      at,
    });
  }
  const need = (name: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = rope[name];
    if (value === undefined) throw new UserError(`${key}.${name} is missing`, { at });
    return value;
  };
  const scaling = (): RopeScaling => {
    const kind = rope.rope_type ?? rope.type ?? "default";
    switch (kind) {
      case "default":
        return { kind: "none" };
      case "linear":
        return { kind: "linear", factor: need("factor") };
      case "llama3":
        return {
          kind: "llama3",
          factor: need("factor"),
          lowFrequencyFactor: need("low_freq_factor"),
          highFrequencyFactor: need("high_freq_factor"),
          originalContext: rope.original_max_position_embeddings ?? contextLength,
        };
      default:
        throw new UserError(
          `the rotary scaling ${JSON.stringify(kind.slice(0, 40))} of ${key} is not supported`,
          {
            at,
            next: "Supported: default, linear, llama3. Remove it to use the model within its original context.",
          },
        );
    }
  };
  return { theta: rope.rope_theta ?? c.rope_theta ?? 10_000, scaling: scaling() };
}

function slidingOf(
  c: Config,
  rules: FamilyRules,
  at: string,
): { readonly layerAttention: readonly LayerAttention[]; readonly slidingWindow?: number } {
  const all = (kind: LayerAttention): LayerAttention[] =>
    Array.from({ length: c.num_hidden_layers }, () => kind);
  const window =
    c.sliding_window === undefined ? rules.defaults.slidingWindow : (c.sliding_window ?? undefined);
  if (rules.slidingWindow === "never" || window === undefined) return { layerAttention: all("full") };
  if (rules.slidingWindow === "all") return { layerAttention: all("sliding"), slidingWindow: window };
  if (c.use_sliding_window !== true) return { layerAttention: all("full") };
  const firstSliding = c.max_window_layers ?? 28;
  const layerAttention =
    c.layer_types?.map((name) => layerKind(name, at)) ??
    all("full").map((kind, layer) => (layer >= firstSliding ? "sliding" : kind));
  return layerAttention.includes("sliding") ? { layerAttention, slidingWindow: window } : { layerAttention };
}

function layerKind(name: string, at: string): LayerAttention {
  if (name === "full_attention") return "full";
  if (name === "sliding_attention") return "sliding";
  throw new UserError(`layer_types names ${JSON.stringify(name.slice(0, 40))}`, {
    at,
    next: "Supported: full_attention, sliding_attention.",
  });
}

/** zod's first issue as a UserError: which key, what it holds, what the rule is. */
function parse<T>(schema: z.ZodType<T>, value: unknown, at: string, prefix: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = [...(prefix === "" ? [] : [prefix]), ...issue.path.map(String)].join(".");
  let held: unknown = value;
  for (const key of issue.path) held = (held as Record<PropertyKey, unknown> | undefined)?.[key];
  const subject = path === "" ? "the configuration is" : `${path} is`;
  const rule = issue.message.replace(/^Invalid input(: )?/, "");
  const shown = JSON.stringify(held)?.slice(0, 60);
  throw new UserError(
    shown === undefined
      ? `${subject} missing`
      : `${subject} ${shown}${rule === "" ? ", which is not allowed" : `: ${rule}`}`,
    {
      at,
      next: "Take the config.json that was published with the model.",
    },
  );
}
