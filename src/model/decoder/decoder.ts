/** The one decoder of all LLaMA-family models, on the token-flat layout. */
import type { Value } from "../../compute/graph/index.ts";
import { recompute } from "../../compute/autodiff/index.ts";
import {
  type Linear,
  type Padding,
  type RotaryTables,
  type Scope,
  attention,
  mlp,
  padRows,
  rmsNorm,
  rotate,
  unpadRows,
} from "../nn/index.ts";
import type { ModelSpec } from "./model-spec.ts";

/** The values that describe a batch of B rows with T real tokens, the longest S. */
export interface FlatInputs {
  /** [T] int64 */
  readonly tokenIds: Value;
  /** [B, S] int64; positions restart in each row. */
  readonly positions: Value;
  readonly padding: Padding;
  readonly rotary: RotaryTables;
  /** [1, 1, S, S] float32, added to the scores. */
  readonly causalMask: Value;
  /** The same within the sliding window, for models that have sliding layers. */
  readonly slidingMask?: Value;
}

/** What is computed again in the backward pass rather than kept. */
export type Recompute = "none" | "block";

export interface DecoderOptions {
  readonly linear: Linear;
  readonly queryChunks: number;
  readonly recompute: Recompute;
  /** [T, D], added to the embeddings (NEFTune). */
  readonly embeddingNoise?: Value;
  /** The trainable values by name: a recomputed block must name those it uses. */
  readonly trainable: ReadonlyMap<string, Value>;
}

/** Token ids → the hidden state before the final norm, [T, D]. */
export function decoder(root: Scope, spec: ModelSpec, inputs: FlatInputs, options: DecoderOptions): Value {
  const model = root.at("model");
  const { g } = root;
  let x = g.gather(embeddings(root, spec), inputs.tokenIds);
  if (options.embeddingNoise !== undefined) x = g.add(x, options.embeddingNoise);
  for (let layer = 0; layer < spec.layers; layer++) {
    const scope = model.at("layers").at(layer);
    const block = (x: Value): Value => decoderBlock(scope, spec, layer, x, inputs, options);
    if (options.recompute === "none") {
      x = block(x);
      continue;
    }
    const parameters = [...options.trainable].filter(([name]) => name.startsWith(`${scope.path}.`));
    [x] = recompute(
      g,
      [x],
      parameters.map(([, value]) => value),
      ([x]) => [block(x!)],
    ) as [Value];
  }
  return x;
}

/** The embedding matrix [V, D]. */
export function embeddings(root: Scope, spec: ModelSpec): Value {
  return root.at("model").at("embed_tokens").weight("weight", [spec.vocabulary, spec.hiddenSize]);
}

/** The matrix of the vocabulary product [V, D]: the embeddings where they are tied. */
export function vocabularyTable(root: Scope, spec: ModelSpec): Value {
  if (spec.tiedEmbeddings) return embeddings(root, spec);
  return root.at("lm_head").weight("weight", [spec.vocabulary, spec.hiddenSize]);
}

export function finalNorm(root: Scope, spec: ModelSpec, x: Value): Value {
  return rmsNorm(root.at("model").at("norm"), x, spec.normEpsilon);
}

function decoderBlock(
  scope: Scope,
  spec: ModelSpec,
  layer: number,
  x: Value,
  inputs: FlatInputs,
  options: DecoderOptions,
): Value {
  const { g } = scope;
  const attended = selfAttention(
    scope.at("self_attn"),
    spec,
    layer,
    rmsNorm(scope.at("input_layernorm"), x, spec.normEpsilon),
    inputs,
    options,
  );
  const middle = g.add(x, attended);
  const normed = rmsNorm(scope.at("post_attention_layernorm"), middle, spec.normEpsilon);
  return g.add(middle, mlp(scope.at("mlp"), normed, options.linear, spec.mlpWidth, spec.mlpBias));
}

function selfAttention(
  scope: Scope,
  spec: ModelSpec,
  layer: number,
  x: Value,
  inputs: FlatInputs,
  { linear, queryChunks }: DecoderOptions,
): Value {
  const { g } = scope;
  const { heads, kvHeads, headWidth, attentionBias } = spec;
  const project = (part: string, count: number): Value =>
    linear(scope.at(part), x, count * headWidth, attentionBias.qkv);
  const headNorm = (part: string, projected: Value, count: number): Value => {
    if (!spec.qkNorm) return projected;
    const tokens = projected.shape[0]!;
    const perHead = g.reshape(projected, [tokens, count, headWidth]);
    return g.reshape(rmsNorm(scope.at(part), perHead, spec.normEpsilon), [tokens, count * headWidth]);
  };
  const place = (projected: Value): Value => padRows(g, projected, inputs.padding);
  const q = rotate(
    g,
    place(headNorm("q_norm", project("q_proj", heads), heads)),
    inputs.positions,
    inputs.rotary,
    heads,
  );
  const k = rotate(
    g,
    place(headNorm("k_norm", project("k_proj", kvHeads), kvHeads)),
    inputs.positions,
    inputs.rotary,
    kvHeads,
  );
  const v = place(project("v_proj", kvHeads));
  const mask = spec.layerAttention[layer] === "sliding" ? inputs.slidingMask! : inputs.causalMask;
  const context = attention(g, [q, k, v], mask, { heads, kvHeads, headWidth, chunks: queryChunks });
  return linear(
    scope.at("o_proj"),
    unpadRows(g, context, inputs.padding),
    spec.hiddenSize,
    attentionBias.output,
  );
}
