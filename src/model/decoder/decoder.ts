/** The one decoder of all LLaMA-family models, on the token-flat layout. */
import type { Dim, Value } from "../../compute/graph/index.ts";
import { recompute } from "../../compute/autodiff/index.ts";
import {
  type Dropout,
  type FeedForward,
  type Linear,
  type Padding,
  type RotaryTables,
  type Scope,
  attention,
  joinHeads,
  mlp,
  rmsNorm,
  rotate,
  splitKeys,
  splitQueries,
} from "../nn/index.ts";
import type { ModelSpec } from "./model-spec.ts";

/** The values that describe a batch of B rows with T tokens to read, the longest row S. */
export interface FlatInputs {
  /** [T] int64 */
  readonly tokenIds: Value;
  /** [T, 1] int64; positions restart in each row. */
  readonly positions: Value;
  readonly padding: Padding;
  readonly rotary: RotaryTables;
  /** [1, 1, S, S] float32, added to the scores. */
  readonly causalMask: Value;
  /** The same within the sliding window, for models that have sliding layers. */
  readonly slidingMask?: Value;
}

/**
 * What is computed again in the backward pass rather than kept: nothing; of each attention all between its projections
 * and its output; each block from its input.
 */
export type Recompute = "none" | "attention" | "blocks";

export interface DecoderOptions {
  readonly linear: Linear;
  /** Of three `linear` when absent. */
  readonly feedForward?: FeedForward;
  readonly queryChunks: number;
  readonly recompute: Recompute;
  /** [T, D], added to the embeddings (NEFTune). */
  readonly embeddingNoise?: Value;
  /** On what attention and MLP add to the residual stream, named by their paths. */
  readonly residualDropout?: Dropout;
  /** On the probabilities of attention. */
  readonly attentionDropout?: Dropout;
  /** The trainable values by name: a recomputed block must name those it uses. */
  readonly trainable: ReadonlyMap<string, Value>;
  /**
   * [T, ·] → [R, ·]: the tokens whose hidden state is wanted. The last block computes nothing else after its
   * attention. All of them when absent.
   */
  readonly select?: (x: Value) => Value;
}

/** Token ids → the hidden state before the final norm, [T, D], or [R, D] of the selected tokens. */
export function decoder(root: Scope, spec: ModelSpec, inputs: FlatInputs, options: DecoderOptions): Value {
  const model = root.at("model");
  const { g } = root;
  let x = g.gather(embeddings(root, spec), inputs.tokenIds);
  if (options.embeddingNoise !== undefined) x = g.add(x, options.embeddingNoise);
  for (let layer = 0; layer < spec.layers; layer++) {
    const scope = model.at("layers").at(layer);
    const select = layer === spec.layers - 1 ? options.select : undefined;
    const block = (x: Value): Value => decoderBlock(scope, spec, layer, x, inputs, options, select);
    if (options.recompute !== "blocks") {
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

/** One block; `scope` stands at it. x [T, D] → [T, D], or what `select` leaves of it. */
export function decoderBlock(
  scope: Scope,
  spec: ModelSpec,
  layer: number,
  x: Value,
  inputs: FlatInputs,
  options: DecoderOptions,
  select: (x: Value) => Value = (x) => x,
): Value {
  const { g } = scope;
  const { linear, feedForward = mlp(linear), residualDropout } = options;
  const dropped = (part: string, x: Value): Value =>
    residualDropout === undefined
      ? x
      : g.mul(residualDropout.keep(g, scope.at(part).path, x), residualDropout.scale);
  const normed = rmsNorm(scope.at("input_layernorm"), x, spec.normEpsilon);
  const attentionScope = scope.at("self_attn");
  const context = select(selfAttention(attentionScope, spec, layer, normed, inputs, options));
  const attended = linear(attentionScope.at("o_proj"), context, spec.hiddenSize, spec.attentionBias.output);
  const middle = g.add(select(x), dropped("self_attn", attended));
  const middleNormed = rmsNorm(scope.at("post_attention_layernorm"), middle, spec.normEpsilon);
  const updated = feedForward(scope.at("mlp"), middleNormed, spec.mlpWidth, spec.mlpBias);
  return g.add(middle, dropped("mlp", updated));
}

/** x [T, D] → what the heads saw, [T, H·E], before the output projection. */
function selfAttention(
  scope: Scope,
  spec: ModelSpec,
  layer: number,
  x: Value,
  { padding, positions, rotary, causalMask, slidingMask }: FlatInputs,
  { linear, queryChunks, recompute: again, attentionDropout }: DecoderOptions,
): Value {
  const { g } = scope;
  const { heads, kvHeads, headWidth } = spec;
  const project = (part: string, count: number): Value =>
    linear(scope.at(part), x, count * headWidth, spec.attentionBias.qkv);
  const headNorm = (part: string, projected: Value, count: number): Value => {
    if (!spec.qkNorm) return projected;
    const tokens = projected.shape[0]!;
    const perHead = g.reshape(projected, [tokens, count, headWidth]);
    return g.reshape(rmsNorm(scope.at(part), perHead, spec.normEpsilon), [tokens, count * headWidth]);
  };
  const rotated = (projected: Value, count: number): Value => {
    const [tokens, width] = projected.shape as [Dim, number];
    // Rows of one token each: onnxruntime refuses a row longer than the tables, and T is no row's length.
    const single = g.reshape(projected, [tokens, 1, width]);
    return g.reshape(rotate(g, single, positions, rotary, count), projected.shape);
  };
  const q = rotated(headNorm("q_norm", project("q_proj", heads), heads), heads);
  const k = rotated(headNorm("k_norm", project("k_proj", kvHeads), kvHeads), kvHeads);
  const attend = ([q, k, v]: readonly Value[]): readonly Value[] => {
    const context = attention(
      g,
      [splitQueries(g, q!, padding), splitKeys(g, k!, padding), splitKeys(g, v!, padding)],
      spec.layerAttention[layer] === "sliding" ? slidingMask! : causalMask,
      queryChunks,
      attentionDropout === undefined ? undefined : { of: attentionDropout, name: scope.path },
    );
    return [joinHeads(g, context, padding)];
  };
  const projected = [q, k, project("v_proj", kvHeads)];
  const [context] = again === "attention" ? recompute(g, projected, [], attend) : attend(projected);
  return context!;
}
