/** Examples to what a training step eats: rows, folded sequences, batches, token-flat micro-batches. */
export { batchesFrom, countBatches, epochBatches, microBatches, start } from "./batches.ts";
export type { Batch, BatchOptions, FeedCursor } from "./batches.ts";
export { encodeExamples } from "./encode.ts";
export type { EncodedExamples, EncodedRow, EncodingReport, UnlearnedExample } from "./encode.ts";
export { flatten } from "./flat.ts";
export type { FlatMicroBatch } from "./flat.ts";
export { foldRows } from "./fold.ts";
export type { FeedSequence, Folded, FoldReport } from "./fold.ts";
