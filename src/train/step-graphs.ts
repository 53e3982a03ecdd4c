/** The graphs that training runs, as the engine compiles them and as plans count them. */
import { type Graph, type SymbolSizes, symbolSizes } from "../compute/graph/index.ts";
import { adamWGraph } from "../compute/optim/index.ts";
import {
  type LossGraphOptions,
  type ModelSpec,
  type ResidentModel,
  type Sequence,
  flatBatch,
  lossGraph,
} from "../model/decoder/index.ts";
import { byteProbability } from "./dropout.ts";
import type { EngineOptions } from "./engine.ts";
import { inPrecision, plainNumerics } from "./precision.ts";

/** What a graph needs to know of a model: not its weights. */
export type ModelForm = Pick<ResidentModel, "spec" | "frozen" | "exact">;

export type StepGraphOptions = Pick<
  EngineOptions,
  | "layout"
  | "adapter"
  | "dropout"
  | "residualDropout"
  | "attentionDropout"
  | "queryChunks"
  | "lossChunks"
  | "recompute"
  | "neftune"
  | "base"
  | "backward"
  | "numerics"
>;

/** Loss and gradient of a micro-batch, with all that training adds: dropout, noise, recomputation. */
export function stepGraph({ spec, frozen, exact }: ModelForm, options: StepGraphOptions): Graph {
  const { adapter, neftune = 0, recompute, numerics = plainNumerics } = options;
  const graph = lossGraph(spec, {
    ...shared(frozen, options),
    dropout: adapter === undefined ? 0 : byteProbability(options.dropout),
    residualDropout: byteProbability(options.residualDropout ?? 0),
    attentionDropout: byteProbability(options.attentionDropout ?? 0),
    embeddingNoise: neftune !== 0,
    gradients: true,
    recompute,
  });
  return inPrecision(graph, numerics, exact);
}

/** The loss of a micro-batch alone. */
export function measuringGraph({ spec, frozen, exact }: ModelForm, options: StepGraphOptions): Graph {
  const graph = lossGraph(spec, { ...shared(frozen, options), gradients: false, recompute: "none" });
  return inPrecision(graph, options.numerics ?? plainNumerics, exact);
}

/** AdamW over the whole vector of parameters. */
export function updateGraph({
  layout,
  optimizer,
  rateFactors,
  decayed,
  numerics = plainNumerics,
}: Pick<EngineOptions, "layout" | "optimizer" | "rateFactors" | "decayed" | "numerics">): Graph {
  return adamWGraph(optimizer, {
    size: layout.size,
    rateFactors: rateFactors !== undefined,
    decayed: decayed !== undefined,
    guarded: numerics.precision === "fp16",
  });
}

/** What the symbols of a step's or a measuring graph stand for in a micro-batch. */
export function batchSizes(
  graph: Graph,
  spec: ModelSpec,
  layout: Parameters<typeof flatBatch>[2],
  sequences: readonly Sequence[],
): SymbolSizes {
  const { feeds, longest } = flatBatch(sequences, spec, layout);
  // The rotary tables are as long as it takes.
  return new Map([...symbolSizes(graph, feeds), ["P", longest]]);
}

function shared(
  frozen: ModelForm["frozen"],
  {
    layout,
    adapter,
    queryChunks,
    lossChunks,
    base = "float32",
    backward,
    numerics = plainNumerics,
  }: StepGraphOptions,
): Omit<LossGraphOptions, "gradients" | "recompute"> {
  const { precision } = numerics;
  return {
    layout,
    base,
    ...(backward === undefined ? {} : { backward }),
    ...(frozen === undefined ? {} : { frozen }),
    ...(adapter === undefined ? {} : { adapter }),
    queryChunks,
    lossChunks,
    ...(precision === "float32" ? {} : { mixed: precision }),
  };
}
