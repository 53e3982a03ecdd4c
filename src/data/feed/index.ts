/** Examples to what a training step eats: rows, folded sequences, batches, micro-batches. */
export { epochBatches } from "./batches.ts";
export type { BatchOptions } from "./batches.ts";
export { corpusCollector, corpusSequences, documentEncoder } from "./corpus.ts";
export type { Corpus } from "./corpus.ts";
export { encodeExamples } from "./encode.ts";
export type { EncodedExamples, EncodedRow, EncodingReport, UnlearnedExample } from "./encode.ts";
export { foldRows } from "./fold.ts";
export type { FeedSequence, Folded, FoldReport } from "./fold.ts";
