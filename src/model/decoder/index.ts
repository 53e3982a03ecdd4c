/** What a model is (`ModelSpec`), and the one decoder that runs all of them. */
export { decoder, embeddings, finalNorm, vocabularyTable } from "./decoder.ts";
export type { DecoderOptions, FlatInputs, Recompute } from "./decoder.ts";
export { causalMask, flatBatch } from "./flat-batch.ts";
export type { FlatBatch, Sequence } from "./flat-batch.ts";
export { frozenBytes, frozenFormats, loadFrozenModel } from "./frozen-base.ts";
export type { FrozenBase, FrozenBytes } from "./frozen-base.ts";
export { batchInputs, dropoutPrefix, lossGraph } from "./loss-graph.ts";
export type { AdapterOptions, LossGraphOptions } from "./loss-graph.ts";
export { specFromConfig } from "./model-spec-config.ts";
export { specFromGguf } from "./model-spec-gguf.ts";
export { checkWeights, expectedWeights, linearLayers, parameterCount } from "./model-spec-weights.ts";
export type { ExpectedWeight } from "./model-spec-weights.ts";
export { ropeFrequencies, validateSpec, withSlidingWindow } from "./model-spec.ts";
export type { LayerAttention, ModelFamily, ModelSpec, RopeScaling, RopeSpec } from "./model-spec.ts";
export { quantisedModel } from "./quantise.ts";
export { loadResidentModel, residentModel } from "./resident-model.ts";
export type { ResidentModel } from "./resident-model.ts";
