/** The graph that reads new tokens of B sequences against their key-value caches: prefill and decode alike. */
import { type Graph, GraphBuilder, type Value } from "../../compute/graph/index.ts";
import {
  type AdapterUse,
  type ModelSpec,
  adapterLinear,
  embeddings,
  finalNorm,
  vocabularyTable,
} from "../decoder/index.ts";
import {
  type Linear,
  type Scope,
  fewRowsLinear,
  inputWeights,
  linear,
  mlp,
  rmsNorm,
  scope,
} from "../nn/index.ts";

/** W: elements of a head in the caches. The attention kernel takes multiples of 8; narrower heads are padded with zeros. */
export function cacheWidth({ headWidth }: Pick<ModelSpec, "headWidth">): number {
  return Math.ceil(headWidth / 8) * 8;
}

export interface GraphUse extends AdapterUse {
  /** Built for a few tokens a call, as decoding a batch gives it, or for one or many. */
  readonly fewTokens: boolean;
}

/**
 * Inputs beside weights: `tokenIds` and `positions` [B, S] int64; `lastRows` [B] int64, the place of each row's last
 * token among the B·S; `pastKey.l` and `pastValue.l` [B, K, P, W];
 * `lengthsMinusOne` [B] int32 (tokens of each row after this call, minus one), `totalLength` int32 (the most of
 * them); rotary tables; and what `AdapterUse` says of an adapter.
 * Outputs: `logits` [B, V] at each row's last new token, `next` [B] their arg max, and `newKeyValues`
 * [2L, B, K, S, W]: keys (rotated) and values of layer 0, then of layer 1 …
 */
export function generationGraph(spec: ModelSpec, use: GraphUse): Graph {
  const { fewTokens } = use;
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const { kvHeads, headWidth, layers, vocabulary } = spec;
  const half = headWidth / 2;
  const base = fewTokens ? fewRowsLinear : linear;
  const state: DecodeState = {
    positions: g.input("positions", "int64", ["B", "S"]),
    lengths: g.input("lengthsMinusOne", "int32", ["B"]),
    total: g.input("totalLength", "int32", []),
    cos: g.input("rotaryCos", "float32", ["Z", half]),
    sin: g.input("rotarySin", "float32", ["Z", half]),
    linear: adapterLinear(base, use),
    fresh: [],
  };
  // Linear layers see flat rows; attention alone knows of B and S.
  const tokenIds = g.reshape(g.input("tokenIds", "int64", ["B", "S"]), ["B*S"]);
  let x = g.gather(embeddings(root, spec), tokenIds);
  for (let layer = 0; layer < layers; layer++) {
    const block = root.at("model").at("layers").at(layer);
    const normed = rmsNorm(block.at("input_layernorm"), x, spec.normEpsilon);
    x = g.add(x, cachedAttention(block.at("self_attn"), spec, layer, normed, state));
    const middle = rmsNorm(block.at("post_attention_layernorm"), x, spec.normEpsilon);
    x = g.add(x, mlp(state.linear)(block.at("mlp"), middle, spec.mlpWidth, spec.mlpBias));
  }
  const last = finalNorm(root, spec, g.gather(x, g.input("lastRows", "int64", ["B"])));
  const table = vocabularyTable(root, spec);
  const logits = fewTokens
    ? g.transpose(g.matmul(table, last, { transB: true }), [1, 0])
    : g.matmul(last, table, { transB: true });
  g.output("logits", g.reshape(logits, ["B", vocabulary]));
  g.output("next", g.op("ArgMax", [logits], { axis: -1, keepdims: 0 }));
  const shape = [1, "B", kvHeads, "S", cacheWidth(spec)] as const;
  g.output(
    "newKeyValues",
    g.concat(
      state.fresh.map((value) => g.reshape(value, shape)),
      0,
    ),
  );
  return g.build();
}

interface DecodeState {
  readonly positions: Value;
  readonly lengths: Value;
  readonly total: Value;
  readonly cos: Value;
  readonly sin: Value;
  readonly linear: Linear;
  /** Keys and values of the new tokens, [B, K, S, W] each, appended layer by layer. */
  readonly fresh: Value[];
}

/** x [B·S, D] → [B·S, D]. */
function cachedAttention(scope: Scope, spec: ModelSpec, layer: number, x: Value, state: DecodeState): Value {
  const { g } = scope;
  const { heads, kvHeads, headWidth, attentionBias } = spec;
  const { linear } = state;
  const project = (part: string, norm: string | undefined, count: number): Value => {
    const projected = linear(scope.at(part), x, count * headWidth, attentionBias.qkv);
    const apart = (value: Value): Value => g.reshape(value, ["B", "S", count * headWidth]);
    if (!spec.qkNorm || norm === undefined) return apart(projected);
    const perHead = g.reshape(projected, ["B*S", count, headWidth]);
    return apart(rmsNorm(scope.at(norm), perHead, spec.normEpsilon));
  };
  const rotate = (value: Value, count: number): Value =>
    g.op("RotaryEmbedding", [value, state.positions, state.cos, state.sin], {
      interleaved: 0,
      num_heads: count,
    });
  const width = cacheWidth(spec);
  const widen = (value: Value, count: number): Value => {
    if (width === headWidth) return value;
    const perHead = g.reshape(value, ["B", "S", count, headWidth]);
    return g.reshape(g.pad(perHead, -1, 0, width - headWidth), ["B", "S", count * width]);
  };
  const q = widen(rotate(project("q_proj", "q_norm", heads), heads), heads);
  const k = widen(rotate(project("k_proj", "k_norm", kvHeads), kvHeads), kvHeads);
  const v = widen(project("v_proj", undefined, kvHeads), kvHeads);
  const perHead = (value: Value): Value =>
    g.transpose(g.reshape(value, ["B", "S", kvHeads, width]), [0, 2, 1, 3]);
  state.fresh.push(perHead(k), perHead(v));
  const past = (name: string): Value => g.input(`${name}.${layer}`, "float32", ["B", kvHeads, "P", width]);
  const context = g.op(
    "GroupQueryAttention",
    // Rotated above; with rotary tables the kernel would refuse head widths that are no multiple of 16.
    [q, k, v, past("pastKey"), past("pastValue"), state.lengths, state.total, undefined, undefined],
    {
      num_heads: heads,
      kv_num_heads: kvHeads,
      do_rotary: 0,
      scale: 1 / Math.sqrt(headWidth),
      local_window_size: spec.layerAttention[layer] === "sliding" ? spec.slidingWindow! : -1,
    },
  );
  const narrowed =
    width === headWidth ? context : g.slice(g.reshape(context, ["B", "S", heads, width]), -1, 0, headWidth);
  const rows = g.reshape(narrowed, ["B*S", heads * headWidth]);
  return linear(scope.at("o_proj"), rows, spec.hiddenSize, attentionBias.output);
}
