/** People judge replies: a page for raters, a file that loses nothing, and what the ratings say. */
export { planItems } from "./plan.ts";
export type { PlanOptions } from "./plan.ts";
export { predictionSchema, promptKey, readPredictions } from "./prediction.ts";
export type { Prediction } from "./prediction.ts";
export { preferencePairs } from "./preferences.ts";
export type { PreferencePair } from "./preferences.ts";
export { questions } from "./rating.ts";
export type { Question, Rating, Scores } from "./rating.ts";
export { aspects, overallScore, ratingResults } from "./results.ts";
export type {
  Agreement,
  Aspect,
  Disagreement,
  MetricCorrelation,
  RaterResult,
  RatingResults,
  ResultOptions,
  SystemComparison,
  SystemResult,
  TooFew,
} from "./results.ts";
export { linkToken, startRateServer } from "./server.ts";
export type { RateServer, RateServerOptions } from "./server.ts";
export { openStudy } from "./study.ts";
export type { Assignment, Outcome, Seat, SeatState, Study, StudyOptions } from "./study.ts";
export { exportRatings, importRatings, readRatings } from "./transfer.ts";
export type { ImportSummary } from "./transfer.ts";
