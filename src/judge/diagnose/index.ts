/** What is wrong with a run, how one can tell, and what to change: detectors in a table, findings with remedies. */
export { diagnose } from "./diagnose.ts";
export type { DiagnoseOptions } from "./diagnose.ts";
export { findingsFile, readFindings, writeFindings } from "./findings.ts";
export type { Findings } from "./findings.ts";
export { curvesOf } from "./helpers.ts";
export { lossCurves } from "./pictures.ts";
export { diagnosisFolder, openRemedy } from "./remedy.ts";
export type { FindingRemedy } from "./remedy.ts";
export { detectors } from "./table.ts";
export type { CurveEvent, Curves, Detector, Diagnosed, Finding, RunSettings, Text } from "./types.ts";
