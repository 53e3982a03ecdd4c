/** What the training engine is told, as a configuration has it; plans count with the same. */
import { type EngineOptions, loraPlusFactors, matricesAlone } from "../train/index.ts";
import { backwardOf } from "./base-model.ts";
import { numericsOf } from "./numerics.ts";
import type { TrainConfig } from "./schema.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** But for chunks, which depend on the data, and recomputation, which a plan may choose. */
export type FixedEngineOptions = Omit<EngineOptions, "queryChunks" | "lossChunks" | "recompute">;

export function engineOptions(
  config: TrainConfig,
  { layout, adapter }: Pick<TrainedParts, "layout" | "adapter">,
  share: boolean,
): FixedEngineOptions {
  const { lora, optimizer, training, seed } = config;
  const { beta1, beta2, epsilon, loraPlusRatio, decay } = optimizer;
  return {
    layout,
    ...(adapter === undefined ? {} : { adapter }),
    dropout: lora.dropout,
    seed,
    optimizer: { beta1, beta2, epsilon },
    residualDropout: training.dropout.residual,
    attentionDropout: training.dropout.attention,
    neftune: training.neftune,
    share,
    ...(loraPlusRatio === 1
      ? {}
      : { rateFactors: loraPlusFactors(layout.entries, layout.size, loraPlusRatio) }),
    ...(decay === "all" ? {} : { decayed: matricesAlone(layout.entries, layout.size) }),
    ...(training.base === "int8" ? { base: "int8", backward: backwardOf(training) } : {}),
    numerics: numericsOf(config),
    lanes: training.lanes ?? 1,
  };
}
