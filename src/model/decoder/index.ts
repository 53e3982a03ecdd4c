/** What a model is (`ModelSpec`), and the one decoder that runs all of them. */
export { decoder, embeddings, finalNorm, vocabularyTable } from "./decoder.ts";
export type { DecoderOptions, FlatInputs, Recompute } from "./decoder.ts";
export { causalMask, flatBatch, queryChunksFor } from "./flat-batch.ts";
export { inLanes, microBatches } from "./micro-batches.ts";
export { tokenCount } from "./token-tree.ts";
export type { FlatBatch, Sequence } from "./flat-batch.ts";
export { frozenBytes, frozenFormats, linearPaths, loadFrozenModel } from "./frozen-base.ts";
export type { FrozenBase, FrozenBytes } from "./frozen-base.ts";
export { halfBytes, halfForm, loadHalfModel } from "./half-base.ts";
export type { HalfBase } from "./half-base.ts";
export { inputLevels } from "./input-levels.ts";
export type { InputLevels } from "./input-levels.ts";
export { loadLlmInt8Model } from "./llm-int8.ts";
export type { LlmInt8Options } from "./llm-int8.ts";
export { batchInputs, lossGraph } from "./loss-graph.ts";
export { dropoutMaskShapes } from "./mask-shapes.ts";
export type { DropoutMaskShapes } from "./mask-shapes.ts";
export type { AdapterOptions, LossGraphOptions } from "./loss-graph.ts";
export { configFromSpec } from "./config-from-spec.ts";
export { specFromConfig } from "./model-spec-config.ts";
export { specFromGguf } from "./model-spec-gguf.ts";
export {
  checkWeights,
  expectedWeights,
  linearLayers,
  parameterCount,
  vocabularyWeight,
} from "./model-spec-weights.ts";
export type { ExpectedWeight } from "./model-spec-weights.ts";
export { ropeFrequencies, validateSpec, withSlidingWindow } from "./model-spec.ts";
export type { LayerAttention, ModelFamily, ModelSpec, RopeScaling, RopeSpec } from "./model-spec.ts";
export { int8Layers } from "./int8-layers.ts";
export { int8Blocks, loadInt8Model } from "./int8-base.ts";
export type { Int8Blocks } from "./int8-base.ts";
export { adapterLinear, noAdapter, residentAdapter } from "./resident-adapter.ts";
export type { AdapterUse, ResidentAdapter } from "./resident-adapter.ts";
export { loadResidentModel, residentModel } from "./resident-model.ts";
export type { ResidentModel } from "./resident-model.ts";
