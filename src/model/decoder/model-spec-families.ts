/** The supported families as a table: their class names, defaults and which fields their configuration reads. */
import { UserError, nearest } from "../../util/index.ts";
import type { ModelFamily } from "./model-spec.ts";

export interface FamilyRules {
  readonly architecture: string;
  /** Where biases come from: the configuration's `attention_bias`, or fixed by the family. */
  readonly attentionBias: "configured" | { readonly qkv: boolean; readonly output: boolean };
  readonly mlpBias: "configured" | false;
  readonly qkNorm: boolean;
  /** `never`; on `all` layers while `sliding_window` is set; or by `use_sliding_window`, `layer_types` and `max_window_layers`. */
  readonly slidingWindow: "never" | "all" | "by-layer";
  /** Used where the key is absent (transformers' own defaults). */
  readonly defaults: {
    readonly contextLength: number;
    /** Absent: as many as heads. */
    readonly kvHeads?: number;
    /** Absent: D / H. */
    readonly headWidth?: number;
    readonly slidingWindow?: number;
    readonly bosId?: number;
    readonly eosIds: readonly number[];
  };
}

export const families: { readonly [F in ModelFamily]: FamilyRules } = {
  llama: {
    architecture: "LlamaForCausalLM",
    attentionBias: "configured",
    mlpBias: "configured",
    qkNorm: false,
    slidingWindow: "never",
    defaults: { contextLength: 2048, bosId: 1, eosIds: [2] },
  },
  mistral: {
    architecture: "MistralForCausalLM",
    attentionBias: { qkv: false, output: false },
    mlpBias: false,
    qkNorm: false,
    slidingWindow: "all",
    defaults: { contextLength: 131072, kvHeads: 8, slidingWindow: 4096, bosId: 1, eosIds: [2] },
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    attentionBias: { qkv: true, output: false },
    mlpBias: false,
    qkNorm: false,
    slidingWindow: "by-layer",
    defaults: { contextLength: 32768, kvHeads: 32, slidingWindow: 4096, eosIds: [] },
  },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    attentionBias: "configured",
    mlpBias: false,
    qkNorm: true,
    slidingWindow: "by-layer",
    defaults: { contextLength: 32768, kvHeads: 32, headWidth: 128, slidingWindow: 4096, eosIds: [] },
  },
};

export const supportedFamilies = Object.keys(families) as readonly ModelFamily[];

export function isSupportedFamily(name: string): name is ModelFamily {
  return Object.hasOwn(families, name);
}

/** The refusal of anything else, by name and with what would do. */
export function unsupportedArchitecture(name: string, at: string): UserError {
  const near = nearest(name, supportedFamilies);
  return new UserError(`the architecture ${JSON.stringify(name.slice(0, 80))} is not supported`, {
    at,
    next:
      `Supported: ${supportedFamilies.join(", ")} (Llama 2/3/3.1, SmolLM2, TinyLlama; Mistral; Qwen2/2.5; Qwen3 dense).` +
      (near === undefined || near === name ? "" : ` The nearest is ${near}.`),
  });
}
