/** An adapter → figures, ratings, findings, a report. */
export {
  evaluate,
  evaluationFiles,
  evaluationItems,
  generalTexts,
  readEvaluation,
  repliesOf,
  sampleItems,
} from "./evaluate/index.ts";
export type {
  Evaluation,
  EvaluationItem,
  EvaluationOptions,
  EvaluationProgress,
  ModelSystem,
  PredictionRecord,
  System,
  SystemFigures,
} from "./evaluate/index.ts";
export { detectors, diagnose, readFindings, remedyOf } from "./diagnose/index.ts";
export type { DiagnoseOptions, Finding, Findings } from "./diagnose/index.ts";
