/** Which weights a ModelSpec calls for, how many parameters that is, and whether a store holds them. */
import { UserError, formatCount } from "../../util/index.ts";
import type { WeightStore } from "../weights/index.ts";
import type { ModelSpec } from "./model-spec.ts";

export interface ExpectedWeight {
  /** The checkpoint's own name. */
  readonly name: string;
  /** [out, in] for a linear layer, [V, D] for embeddings, [D] for norms and biases. */
  readonly shape: readonly number[];
}

/** The linear layers of one block and their [out, in] shapes, in execution order. */
export function linearLayers(spec: ModelSpec): readonly (ExpectedWeight & { readonly bias: boolean })[] {
  const { hiddenSize: D, heads: H, kvHeads: K, headWidth: E, mlpWidth: F } = spec;
  return [
    { name: "self_attn.q_proj", shape: [H * E, D], bias: spec.attentionBias.qkv },
    { name: "self_attn.k_proj", shape: [K * E, D], bias: spec.attentionBias.qkv },
    { name: "self_attn.v_proj", shape: [K * E, D], bias: spec.attentionBias.qkv },
    { name: "self_attn.o_proj", shape: [D, H * E], bias: spec.attentionBias.output },
    { name: "mlp.gate_proj", shape: [F, D], bias: spec.mlpBias },
    { name: "mlp.up_proj", shape: [F, D], bias: spec.mlpBias },
    { name: "mlp.down_proj", shape: [D, F], bias: spec.mlpBias },
  ];
}

/** Every weight the decoder reads, with its shape. */
export function expectedWeights(spec: ModelSpec): readonly ExpectedWeight[] {
  const { hiddenSize: D, headWidth: E, vocabulary: V } = spec;
  const weights: ExpectedWeight[] = [{ name: "model.embed_tokens.weight", shape: [V, D] }];
  for (let layer = 0; layer < spec.layers; layer++) {
    const block = `model.layers.${layer}`;
    weights.push({ name: `${block}.input_layernorm.weight`, shape: [D] });
    for (const linear of linearLayers(spec)) {
      weights.push({ name: `${block}.${linear.name}.weight`, shape: linear.shape });
      if (linear.bias) weights.push({ name: `${block}.${linear.name}.bias`, shape: [linear.shape[0]!] });
    }
    if (spec.qkNorm) {
      weights.push({ name: `${block}.self_attn.q_norm.weight`, shape: [E] });
      weights.push({ name: `${block}.self_attn.k_norm.weight`, shape: [E] });
    }
    weights.push({ name: `${block}.post_attention_layernorm.weight`, shape: [D] });
  }
  weights.push({ name: "model.norm.weight", shape: [D] });
  if (!spec.tiedEmbeddings) weights.push({ name: "lm_head.weight", shape: [V, D] });
  return weights;
}

/** The matrix of the vocabulary product [V, D]: the embeddings where they are tied. */
export function vocabularyWeight({ tiedEmbeddings }: Pick<ModelSpec, "tiedEmbeddings">): string {
  return tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
}

/** Parameters of the model; tied embeddings count once. */
export function parameterCount(spec: ModelSpec): number {
  return expectedWeights(spec).reduce(
    (sum, weight) => sum + weight.shape.reduce((product, size) => product * size, 1),
    0,
  );
}

/** Throws one UserError that lists what is missing, has another shape or cannot be read; `at` names the model. */
export function checkWeights(spec: ModelSpec, store: WeightStore, at: string): void {
  const problems: string[] = [];
  for (const { name, shape } of expectedWeights(spec)) {
    const info = store.find(name);
    if (info === undefined) problems.push(`${name} is missing`);
    else if (info.shape.join() !== shape.join()) {
      problems.push(`${name} is [${info.shape.join(", ")}], not [${shape.join(", ")}]`);
    } else if (!info.readable) problems.push(`${name} is stored as ${info.storage}, which cannot be read`);
  }
  if (problems.length === 0) return;
  const shown = problems.slice(0, 6);
  const more =
    problems.length > shown.length ? `; and ${formatCount(problems.length - shown.length)} more` : "";
  const lmHead = problems.length === 1 && problems[0] === "lm_head.weight is missing";
  throw new UserError(`the weights do not fit the configuration: ${shown.join("; ")}${more}`, {
    at,
    next: lmHead
      ? "If the model shares its embedding matrix, set tie_word_embeddings to true in config.json."
      : "Check that configuration and weights are of one model and that the download is complete.",
  });
}
