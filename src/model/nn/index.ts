/** The layers of a LLaMA-family model, as functions that append to a graph. */
export { attention } from "./attention.ts";
export type { AttentionShape } from "./attention.ts";
export { calibrating, int8Linear, smoothingName } from "./int8.ts";
export { linear, lora } from "./linear.ts";
export type { Linear, LoraOptions } from "./linear.ts";
export { crossEntropy } from "./loss.ts";
export type { LossTargets } from "./loss.ts";
export { mlp } from "./mlp.ts";
export { rmsNorm } from "./norm.ts";
export { rotaryTables, rotate } from "./rope.ts";
export type { RotaryTables } from "./rope.ts";
export { joinGradients, parameterLayout, parameterViews, sliceParameters } from "./parameters.ts";
export type { ParameterEntry, ParameterLayout } from "./parameters.ts";
export { padRows, selectRows, unpadRows } from "./rows.ts";
export type { Padding, Selection } from "./rows.ts";
export { inputWeights, scope } from "./scope.ts";
export type { Scope, WeightSource } from "./scope.ts";
