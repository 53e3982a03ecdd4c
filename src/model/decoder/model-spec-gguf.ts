/** GGUF metadata → ModelSpec. */
import { UserError } from "../../util/index.ts";
import type { GgufFile, GgufValue } from "../weights/index.ts";
import { families, isSupportedFamily, unsupportedArchitecture } from "./model-spec-families.ts";
import { type ModelSpec, type RopeScaling, validateSpec } from "./model-spec.ts";

/** Reads the metadata, and from the tensors what the metadata leaves out: vocabulary rows, biases, tied embeddings, rotary factors. */
export async function specFromGguf(gguf: GgufFile): Promise<ModelSpec> {
  const { metadata, store, vocabulary, path: at } = gguf;
  const family = metadata.get("general.architecture");
  if (typeof family !== "string") {
    throw new UserError("general.architecture is missing, so the kind of model is unknown", { at });
  }
  if (!isSupportedFamily(family)) throw unsupportedArchitecture(family, at);
  const keys = reader(metadata, family, at);
  if (keys.integer("expert_count", 0, 100_000, 0) > 0)
    throw unsupportedArchitecture(`${family} with experts`, at);

  const embeddings = store.info("model.embed_tokens.weight");
  const hiddenSize = keys.integer("embedding_length", 1, 65_536);
  const heads = keys.integer("attention.head_count", 1, 4096);
  const layers = keys.integer("block_count", 1, 1024);
  const headWidth = headWidthOf(keys, hiddenSize, heads, at);
  const factors =
    store.find("rope_freqs.weight") === undefined ? undefined : await store.read("rope_freqs.weight");
  const slidingWindow = keys.integer("attention.sliding_window", 0, 1_000_000_000, 0);
  const has = (name: string): boolean => store.find(`model.layers.0.${name}`) !== undefined;
  return validateSpec(
    {
      family,
      architecture: families[family].architecture,
      hiddenSize,
      layers,
      heads,
      kvHeads: keys.integer("attention.head_count_kv", 1, 4096, heads),
      headWidth,
      mlpWidth: keys.integer("feed_forward_length", 1, 1_048_576),
      vocabulary: embeddings.shape[0] ?? 0,
      normEpsilon: shortest(keys.number("attention.layer_norm_rms_epsilon", 0, 1)),
      rope: {
        theta: shortest(keys.number("rope.freq_base", 1, 1e12, 10_000)),
        scaling:
          factors === undefined ? scalingOf(keys, at) : { kind: "factors", factors: [...factors.data] },
      },
      contextLength: keys.integer("context_length", 1, 1_000_000_000),
      ...(slidingWindow > 0 ? { slidingWindow } : {}),
      layerAttention: Array.from({ length: layers }, () => (slidingWindow > 0 ? "sliding" : "full")),
      attentionBias: { qkv: has("self_attn.q_proj.bias"), output: has("self_attn.o_proj.bias") },
      mlpBias: has("mlp.gate_proj.bias"),
      qkNorm: has("self_attn.q_norm.weight"),
      tiedEmbeddings: store.find("lm_head.weight") === undefined,
      activation: "silu",
      ...(vocabulary?.bosId === undefined ? {} : { bosId: vocabulary.bosId }),
      eosIds: [...new Set([vocabulary?.eosId, vocabulary?.endOfTurnId])].filter((id) => id !== undefined),
      ...(vocabulary?.paddingId === undefined ? {} : { padId: vocabulary.paddingId }),
    },
    at,
  );
}

interface KeyReader {
  /** Metadata `<family>.<key>`; without `otherwise` a missing key is refused. */
  integer(key: string, least: number, most: number, otherwise?: number): number;
  /** Exclusive bounds. */
  number(key: string, above: number, below: number, otherwise?: number): number;
  text(key: string): string | undefined;
}

function reader(metadata: ReadonlyMap<string, GgufValue>, family: string, at: string): KeyReader {
  const get = (key: string, otherwise?: number): GgufValue => {
    const value = metadata.get(`${family}.${key}`) ?? otherwise;
    if (value === undefined) throw new UserError(`the metadata has no ${family}.${key}`, { at });
    // Some converters write one value a layer; a decoder with equal layers needs them equal.
    if (!Array.isArray(value)) return value;
    const list = value as readonly GgufValue[];
    if (list.length > 0 && list.every((item) => item === list[0])) return list[0]!;
    throw new UserError(`${family}.${key} differs from layer to layer, which is not supported`, { at });
  };
  const refuse = (key: string, value: GgufValue, rule: string): UserError =>
    new UserError(`${family}.${key} is ${JSON.stringify(String(value).slice(0, 40))}; it must be ${rule}`, {
      at,
      next: "Take another file of this model.",
    });
  return {
    integer: (key, least, most, otherwise) => {
      const value = get(key, otherwise);
      if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
        throw refuse(key, value, `a whole number from ${least} to ${most}`);
      }
      return value;
    },
    number: (key, above, below, otherwise) => {
      const value = get(key, otherwise);
      if (typeof value !== "number" || !(value > above && value < below)) {
        throw refuse(key, value, `a number between ${above} and ${below}`);
      }
      return value;
    },
    text: (key) => {
      const value = metadata.get(`${family}.${key}`);
      if (value !== undefined && typeof value !== "string") throw refuse(key, value, "text");
      return value;
    },
  };
}

function headWidthOf(keys: KeyReader, hiddenSize: number, heads: number, at: string): number {
  const headWidth = keys.integer("attention.key_length", 1, 4096, Math.floor(hiddenSize / heads));
  const rotated = keys.integer("rope.dimension_count", 1, 4096, headWidth);
  const valueWidth = keys.integer("attention.value_length", 1, 4096, headWidth);
  if (rotated !== headWidth || valueWidth !== headWidth) {
    throw new UserError(
      `key width ${headWidth}, value width ${valueWidth} and rotated width ${rotated} differ; equal ones are supported`,
      { at },
    );
  }
  return headWidth;
}

function scalingOf(keys: KeyReader, at: string): RopeScaling {
  const kind = keys.text("rope.scaling.type") ?? "none";
  if (kind === "none") return { kind: "none" };
  if (kind === "linear") return { kind: "linear", factor: keys.number("rope.scaling.factor", 0, 1e6) };
  throw new UserError(`the rotary scaling ${JSON.stringify(kind.slice(0, 40))} is not supported`, {
    at,
    next: "Supported: none, linear, and the factors of Llama 3.1.",
  });
}

/** The shortest decimal that is the same float32: GGUF keeps 1e-5 as 9.999999747378752e-6. */
function shortest(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
}
