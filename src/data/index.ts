/** Raw conversations become a data set that a training run can trust. */
export type { DialogueRecord, ReadResult, RecordMessage, Rejection, SourcePlace } from "./record.ts";
export { LAYOUTS, LAYOUT_NAMES, placeText, readSources } from "./read/index.ts";
export type { LayoutName, ReadOptions, ReadReport, SourceReport } from "./read/index.ts";
export { CleanConfig, SEED_CONFIG, cleaner } from "./clean/index.ts";
export type { CleanConfigInput, CleanReport, Cleaner } from "./clean/index.ts";
export { NO_INTENT, SPLITS } from "./shape/index.ts";
export type { Split } from "./shape/index.ts";
export {
  MANIFEST_FILE,
  REPORT_FILE,
  checkDataset,
  checkLeaks,
  diffDatasets,
  openDataset,
  readManifest,
  renderReport,
} from "./dataset/index.ts";
export type { Dataset, DatasetCheck, DatasetDiff, Leak, LeakReport, Manifest } from "./dataset/index.ts";
export { dataConfigSchema, prepareDataset } from "./pipeline/index.ts";
export type {
  DataConfig,
  DataConfigInput,
  PrepareOptions,
  PrepareProgress,
  PrepareResult,
  TokenCounter,
} from "./pipeline/index.ts";
