/** The layers of a LLaMA-family model, as functions that append to a graph. */
export { attention } from "./attention.ts";
export { maskedDropout } from "./dropout.ts";
export type { Dropout } from "./dropout.ts";
export { blockLinear } from "./block-linear.ts";
export {
  calibrating,
  inputName,
  int8Linear,
  int8LinearIn,
  largestOfChannel,
  peakOfChannel,
  smoothingName,
} from "./int8.ts";
export type { ChannelLevel, Products } from "./int8.ts";
export { int8Mlp } from "./int8-mlp.ts";
export { outputInt8, outputsInt8 } from "./int8-weights.ts";
export { int8Table } from "./int8-table.ts";
export { halfLinear } from "./half-linear.ts";
export { fewRowsLinear, linear, lora } from "./linear.ts";
export type { Linear, LoraOptions } from "./linear.ts";
export { llmInt8Linear } from "./llm-int8.ts";
export { rowNorms } from "./dora.ts";
export { crossEntropy } from "./loss.ts";
export type { LossTargets } from "./loss.ts";
export { mlp } from "./mlp.ts";
export type { FeedForward } from "./mlp.ts";
export { rmsNorm } from "./norm.ts";
export { rotaryTables, rotate } from "./rope.ts";
export type { RotaryTables } from "./rope.ts";
export { joinGradients, parameterLayout, parameterViews, sliceParameters } from "./parameters.ts";
export type { ParameterEntry, ParameterLayout } from "./parameters.ts";
export { joinHeads, selectRows, splitKeys, splitQueries } from "./rows.ts";
export type { Padding, Selection } from "./rows.ts";
export { inputWeights, scope } from "./scope.ts";
export type { Scope, WeightSource } from "./scope.ts";
