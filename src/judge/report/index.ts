/** Everything that is known of a run on one page, and its model card. */
export { gatherReport } from "./gather.ts";
export type { GatherOptions } from "./gather.ts";
export { modelCardText } from "./model-card.ts";
export { renderReport } from "./render.ts";
export type { Language } from "./render.ts";
export type { ReportFacts, ReportSettings } from "./types.ts";
export { verdictOf } from "./verdict.ts";
export type { Verdict } from "./verdict.ts";
