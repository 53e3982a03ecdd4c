/** The loss of a batch, and on demand its gradient, as one graph: what training and perplexity run. */
import { gradients } from "../../compute/autodiff/index.ts";
import {
  type Graph,
  GraphBuilder,
  type Shape,
  type Value,
  recomputeCheap,
} from "../../compute/graph/index.ts";
import { squaredNorm } from "../../compute/optim/index.ts";
import {
  type Linear,
  type LoraOptions,
  type ParameterLayout,
  type Products,
  type WeightSource,
  crossEntropy,
  inputWeights,
  int8LinearIn,
  int8Table,
  int8Mlp,
  joinGradients,
  linear,
  lora,
  maskedDropout,
  mlp,
  scope,
  selectRows,
  sliceParameters,
} from "../nn/index.ts";
import {
  type DecoderOptions,
  type FlatInputs,
  type Recompute,
  decoder,
  finalNorm,
  vocabularyTable,
} from "./decoder.ts";
import { int8Layers, isEarlyDown } from "./int8-layers.ts";
import type { ModelSpec } from "./model-spec.ts";

export interface AdapterOptions {
  readonly rank: number;
  /** s in y = Wx + s · B(Ax). */
  readonly scale: number;
  readonly adapts: (path: string) => boolean;
  /** Rows have magnitudes of their own (DoRA); the base must be plain float32. */
  readonly dora?: boolean;
}

export interface LossGraphOptions {
  /** Which parameters are trained; their values arrive in the input `parameters` [N]. */
  readonly layout: ParameterLayout;
  /** LoRA around the linear layers; absent where the layout holds plain weights. */
  readonly adapter?: AdapterOptions;
  /** How the frozen linear layers are held; float32 when absent. */
  readonly base?: "float32" | "int8";
  /** Of an 8-bit base; in 8 bits when absent. */
  readonly backward?: Products;
  /** The frozen linear layer of a model that brings its own; wins over `base`. */
  readonly frozen?: Linear;
  /** Whether LoRA's input passes through dropout, whose keep masks arrive as inputs `dropout:<path>`. */
  readonly dropout?: number;
  /** On what attention and MLP add to the residual stream; keep masks `residualDropout:<path>` [T, D], or [R, D]. */
  readonly residualDropout?: number;
  /** On the probabilities of attention; keep masks `attentionDropout:<path>.<chunk>` [B, K, H/K, C, keys]. */
  readonly attentionDropout?: number;
  /** Whether noise is added to the embeddings; it arrives as the input `embeddingNoise` [T, D]. */
  readonly embeddingNoise?: boolean;
  /** Whether `gradient` is an output, added to the input `gradientSum` [N]. */
  readonly gradients: boolean;
  /** S must be this many times a chunk. */
  readonly queryChunks: number;
  /** R must be this many times a chunk. */
  readonly lossChunks: number;
  readonly recompute: Recompute;
  /** The format that products are going to be in: LoRA is not merged into what is rounded; float16 scales the gradient. */
  readonly mixed?: "fp16" | "bf16";
}

/** What P is multiplied by on its way through a float16 product. |E| stays below 256, so that a sum of P E does not overflow. */
const probabilityScale = 256;

/** The prefixes of the inputs that carry dropout keep masks: of a layer's input, of what is added, of probabilities. */
export const dropoutPrefix = "dropout:";
export const residualPrefix = "residualDropout:";
export const attentionPrefix = "attentionDropout:";

/** Whether the layer at `path` reads the R selected tokens, as the last block does after its attention, rather than all T. */
export function readsSelected(spec: ModelSpec, path: string): boolean {
  return path.startsWith(`model.layers.${spec.layers - 1}.`) && !/\.self_attn\.[qkv]_proj$/.test(path);
}

/**
 * Inputs beside the weights by name: `parameters` [N], `gradientSum` [N] (with gradients), `lossScale` scalar,
 * and the batch as `flatBatch` lays it out. Outputs: `loss`, the weighted sum of the rows' losses times
 * `lossScale`; `gradient` = gradientSum + d loss / d parameters, times the input `gradientScale` for float16 products;
 * `squaredNorm`, of what was added to gradientSum.
 */
export function lossGraph(spec: ModelSpec, options: LossGraphOptions): Graph {
  const { residualDropout: residual = 0, attentionDropout: attentive = 0 } = options;
  const g = new GraphBuilder();
  const flat = g.input("parameters", "float32", [options.layout.size]);
  const trainable = sliceParameters(g, options.layout, flat);
  const root = scope(g, trainedOrFrozen(trainable, inputWeights(g)));
  const rows = options.lossChunks === 1 ? "R" : `${options.lossChunks}*Q`;
  const input = (name: string, dtype: "int64" | "float32", shape: Shape): Value =>
    g.input(name, dtype, shape);
  const selection = {
    rows: input("rows", "int64", [rows]),
    rowOfToken: input("rowOfToken", "int64", ["T"]),
    tokenSelected: input("tokenSelected", "float32", ["T", 1]),
  };
  const selected = decoder(root, spec, batchInputs(g, spec, options.queryChunks), {
    ...adaptedLayers(spec, options),
    queryChunks: options.queryChunks,
    recompute: options.recompute,
    trainable,
    select: (x) => selectRows(g, x, selection),
    ...(residual > 0 ? { residualDropout: maskedDropout(residual, residualPrefix) } : {}),
    ...(attentive > 0 ? { attentionDropout: maskedDropout(attentive, attentionPrefix) } : {}),
    ...(options.embeddingNoise === true
      ? { embeddingNoise: g.input("embeddingNoise", "float32", ["T", spec.hiddenSize]) }
      : {}),
  });
  const table = vocabularyTable(root, spec);
  const tableTrainable = [...trainable.values()].includes(table);
  const total = crossEntropy(
    g,
    finalNorm(root, spec, selected),
    table,
    { labels: input("labels", "int64", [rows]), weights: input("rowWeights", "float32", [rows]) },
    {
      chunks: options.lossChunks,
      tableTrainable,
      ...(options.base === "int8" && options.gradients && !tableTrainable
        ? { reads: int8Table(root.at("lm_head"), spec.vocabulary, options.backward) }
        : {}),
      probabilityScale: options.mixed === "fp16" ? probabilityScale : 1,
      gradient: options.gradients,
    },
  );
  const loss = g.mul(total, g.input("lossScale", "float32", []));
  g.output("loss", loss);
  const forward = g.nodes.length;
  if (options.gradients) {
    const sum = g.input("gradientSum", "float32", [options.layout.size]);
    const scaled = options.mixed === "fp16" ? g.mul(loss, g.input("gradientScale", "float32", [])) : loss;
    const gradient = joinGradients(g, gradients(g, scaled, [...trainable.values()]));
    g.output("gradient", g.add(sum, gradient));
    g.output("squaredNorm", squaredNorm(g, gradient, options.layout.size));
  }
  return recomputeCheap(g.build(), forward);
}

/** The inputs that describe a batch to the decoder, as `flatBatch` feeds them. */
export function batchInputs(g: GraphBuilder, spec: ModelSpec, queryChunks: number): FlatInputs {
  const length = queryChunks === 1 ? "S" : `${queryChunks}*C`;
  const half = spec.headWidth / 2;
  const sliding = spec.layerAttention.includes("sliding");
  const places = (name: string, count: number): Value => g.input(name, "int64", ["B", count, length]);
  const tokens = (name: string, count: number): Value => g.input(name, "int64", ["T", count]);
  const queryPlaces = places("queryPlaces", spec.heads);
  return {
    tokenIds: g.input("tokenIds", "int64", ["T"]),
    positions: g.input("positions", "int64", ["T", 1]),
    padding: {
      queryPlaces,
      queryTokens: tokens("queryTokens", spec.heads),
      keyPlaces: spec.heads === spec.kvHeads ? queryPlaces : places("keyPlaces", spec.kvHeads),
      keyTokens: tokens("keyTokens", spec.kvHeads),
      sharedPlaces: g.input("sharedPlaces", "int64", ["N", "U"]),
      sharedReal: g.input("sharedReal", "float32", ["N", "U", 1]),
      firstPlace: g.input("firstPlace", "float32", ["B", 1, length, 1]),
    },
    rotary: {
      cos: g.input("rotaryCos", "float32", ["P", half]),
      sin: g.input("rotarySin", "float32", ["P", half]),
    },
    causalMask: g.input("causalMask", "float32", [1, 1, length, length]),
    ...(sliding ? { slidingMask: g.input("slidingMask", "float32", [1, 1, length, length]) } : {}),
  };
}

/** A trainable value where there is one of that name, else the frozen weight. */
function trainedOrFrozen(trainable: ReadonlyMap<string, Value>, frozen: WeightSource): WeightSource {
  return (name, shape, dtype) => trainable.get(name) ?? frozen(name, shape, dtype);
}

/** The layers of a block: those frozen in 8 bits go together where nothing is adapted between them. */
function adaptedLayers(
  spec: ModelSpec,
  options: LossGraphOptions,
): Pick<DecoderOptions, "linear" | "feedForward"> {
  const { base, backward = "int8", frozen, adapter } = options;
  const layers = adaptedLinear(spec, options);
  const rounded = base === "int8" && backward === "int8" && options.gradients && frozen === undefined;
  if (!rounded || spec.mlpBias) return { linear: layers };
  const adapts = adapter?.adapts ?? (() => false);
  const apart = mlp(layers);
  const together = int8Mlp(isEarlyDown(spec));
  return {
    linear: layers,
    feedForward: (scope, ...rest) =>
      ["gate_proj", "up_proj", "down_proj"].some((part) => adapts(scope.at(part).path))
        ? apart(scope, ...rest)
        : together(scope, ...rest),
  };
}

function adaptedLinear(spec: ModelSpec, options: LossGraphOptions): Linear {
  const { adapter, frozen = frozenLinear(spec, options), dropout = 0, mixed } = options;
  if (adapter === undefined) return frozen;
  const rows = adapter.dora === true ? ({ rows: "magnitude" } as const) : {};
  if (dropout > 0) return lora(frozen, { ...adapter, ...rows, merged: false, dropout: loraDropout(dropout) });
  return lora(frozen, { ...adapter, ...rows, merged: frozen === linear && mixed === undefined });
}

/** What only measures rounds nothing: its error would be the loss's, and no step is faster for it. */
function frozenLinear(spec: ModelSpec, { base, backward, gradients }: LossGraphOptions): Linear {
  if (base !== "int8") return linear;
  return gradients ? int8Layers(spec, backward) : int8LinearIn("float32", "float32");
}

function loraDropout(probability: number): NonNullable<LoraOptions["dropout"]> {
  const { keep, scale } = maskedDropout(probability, dropoutPrefix);
  return { keep: ({ g, path }, x) => keep(g, path, x), scale };
}
