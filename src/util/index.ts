/** Errors, files, random numbers, formats: nothing here knows of tensors. */
export { readBoundedLines } from "./bounded-lines.ts";
export type { BoundedLine } from "./bounded-lines.ts";
export { CancelledError, UserError, errorCode, errorMessage, nearest } from "./errors.ts";
export {
  explainReadError,
  explainWriteError,
  makeFolder,
  readTextFile,
  recoverFolder,
  renameIfThere,
  sha256OfFile,
  syncFolder,
  writeAtomic,
  writeFileAtomic,
  writeFolderAtomic,
} from "./files.ts";
export {
  excerpt,
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  shellWord,
  visible,
} from "./format.ts";
export { parseJson, readJsonLines } from "./jsonl.ts";
export { lockFile } from "./lock.ts";
export { packageVersion } from "./package-version.ts";
export { random, randomFromState } from "./random.ts";
export type { Random } from "./random.ts";
export { stopwatch } from "./stopwatch.ts";
export type { Laps, Stopwatch } from "./stopwatch.ts";
export { readTextLines } from "./text-lines.ts";
export type { TextLine } from "./text-lines.ts";
