/** What is wrong with a run, how one can tell, and what to change: detectors in a table, findings with remedies. */
export { diagnose } from "./diagnose.ts";
export type { DiagnoseOptions } from "./diagnose.ts";
export { findingsFile, readFindings, remedyOf, writeFindings } from "./findings.ts";
export type { Findings } from "./findings.ts";
export { curvesOf } from "./helpers.ts";
export { lossCurves } from "./pictures.ts";
export { detectors } from "./table.ts";
export type { CurveEvent, Curves, Detector, Diagnosed, Finding, RunSettings, Text } from "./types.ts";
