/** A data set on disk: the folder, its manifest, its lines, its leak check. */
export { ConversationGatherer } from "./gather.ts";
export type { GatheredConversation } from "./gather.ts";
export { NEAR_THRESHOLD, checkLeaks } from "./leaks.ts";
export type { Leak, LeakReport } from "./leaks.ts";
export { exampleToLine, lineToExample, lineWithWeight } from "./line.ts";
export {
  MANIFEST_FILE,
  REJECTED_FILE,
  REPORT_FILE,
  SCHEMA_VERSION,
  manifestSchema,
  manifestToText,
  readManifest,
  splitFile,
} from "./manifest.ts";
export type {
  Histogram,
  LeakCounts,
  Manifest,
  RuleSection,
  SourceSection,
  SplitSection,
} from "./manifest.ts";
export { openDataset, readExamples } from "./open.ts";
export type { Dataset } from "./open.ts";
export { stageFolder } from "./staging.ts";
export type { StagedFolder } from "./staging.ts";
export { LineWriter, openFileSink } from "./writer.ts";
export type { OpenSink, Sink, WrittenFile } from "./writer.ts";
export { renderReport } from "./report/index.ts";
export { checkDataset, diffDatasets } from "./check.ts";
export type { DatasetCheck, DatasetDiff } from "./check.ts";
