/** A run judged by its replies: systems side by side on the same prompts, with intervals, slices, speed and forgetting. */
export { evaluate, evaluationFiles } from "./evaluate.ts";
export { finishedEvaluation } from "./finished.ts";
export { generalTexts } from "./general-text.ts";
export {
  depthGroup,
  depthGroups,
  evaluationItems,
  lengthGroup,
  normalReply,
  repliesOf,
  sampleItems,
  scriptOf,
} from "./items.ts";
export type { EvaluationItem } from "./items.ts";
export { depthChart, metricChart, sliceChart } from "./pictures.ts";
export { openSystem } from "./open-system.ts";
export { fittedPrompt } from "./prompt.ts";
export { generateAll, preparePrompts } from "./replies.ts";
export { readEvaluation, readPredictionRecords } from "./read.ts";
export { quantile, spread } from "./speed.ts";
export type { SpeedFigures } from "./speed.ts";
export { tokenLossGraph, tokenLossMeter } from "./token-losses.ts";
export type { TokenLossMeter } from "./token-losses.ts";
export type {
  Evaluation,
  EvaluationOptions,
  EvaluationProgress,
  GeneralText,
  LookupSystem,
  ModelSystem,
  PredictionRecord,
  SliceFigures,
  System,
  SystemFigures,
  SystemKind,
} from "./types.ts";
