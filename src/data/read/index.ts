/** Reading: whatever people have, as records or as rejections with a reason. */
export { describeCounts, readCounts } from "./counts.ts";
export type { ReadCounts } from "./counts.ts";
export { documentFiles, readDocuments } from "./documents.ts";
export type { DocumentOptions, TextDocument } from "./documents.ts";
export { ENCODINGS } from "./encoding.ts";
export type { Encoding } from "./encoding.ts";
export { readExamples, toExample } from "./examples.ts";
export { LAYOUTS, LAYOUT_NAMES } from "./layouts/table.ts";
export type { LayoutName } from "./layouts/table.ts";
export { readPrompts } from "./prompts.ts";
export type { Prompt } from "./prompts.ts";
export { readSources } from "./read-sources.ts";
export type { SourceReading } from "./read-sources.ts";
export { placeText } from "./rows-to-records.ts";
export { DEFAULT_LIMITS } from "./types.ts";
export type {
  FieldMap,
  FileFormat,
  ReadLimits,
  ReadOptions,
  ReadProgress,
  ReadReport,
  SourceReport,
} from "./types.ts";
