/** An adapter → figures, ratings, findings, a report. */
export {
  evaluate,
  evaluationFiles,
  evaluationItems,
  finishedEvaluation,
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
export { detectors, diagnose, diagnosisFolder, openRemedy, readFindings } from "./diagnose/index.ts";
export type { DiagnoseOptions, Finding, FindingRemedy, Findings } from "./diagnose/index.ts";
