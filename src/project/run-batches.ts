/** A run's sets cut into batches and micro-batches, and the chunks that its graphs need for them. */
import type { FeedSequence } from "../data/feed/index.ts";
import {
  type BatchSource,
  type TrainingBatch,
  batchSource,
  chunksFor,
  validationBatches,
} from "../train/index.ts";
import type { EncodedSets } from "./encoded-sets.ts";
import type { TrainConfig } from "./schema.ts";

export interface RunBatches {
  readonly training: BatchSource;
  readonly validation: readonly TrainingBatch[];
  readonly chunks: { readonly queryChunks: number; readonly lossChunks: number };
}

export function runBatches(
  { training: { batch, batchTokens }, seed }: TrainConfig,
  { training, validation }: { training: Sequences; validation?: Sequences },
  {
    microTokens,
    lanes,
    share,
    tableTrained,
  }: {
    readonly microTokens: number;
    readonly lanes: number;
    readonly share: boolean;
    readonly tableTrained: boolean;
  },
): RunBatches {
  const micro = { tokens: microTokens, share, lanes };
  const measured = validation ?? [];
  const longest = longestOf(training, longestOf(measured));
  return {
    training: batchSource(training, {
      ...(batchTokens === undefined ? { batch } : { batch: batchTokens, unit: "tokens" }),
      micro,
      seed,
    }),
    validation: validationBatches(measured, micro),
    chunks: chunksFor(longest, mostSupervised(training, microTokens / lanes), tableTrained),
  };
}

type Sequences = readonly FeedSequence[];

/** Tokens of the longest row. */
export function longestOf(sequences: Sequences, least = 0): number {
  return sequences.reduce((most, { ids }) => Math.max(most, ids.length), least);
}

/** What the sets were if no row were longer: cut at the end, as sizes do not tell where. */
export function shortened(
  { training, validation }: EncodedSets,
  maxLength = Number.POSITIVE_INFINITY,
): { readonly training: Sequences; readonly validation?: Sequences } {
  const cut = (sequences: Sequences): Sequences =>
    sequences.map((sequence) =>
      sequence.ids.length <= maxLength
        ? sequence
        : {
            ...sequence,
            ids: sequence.ids.slice(0, maxLength),
            weights: sequence.weights.slice(0, maxLength),
          },
    );
  return {
    training: cut(training.sequences),
    ...(validation === undefined ? {} : { validation: cut(validation.sequences) }),
  };
}

/** A bound on the targets of a micro-batch: the densest sequence's share of its tokens, over a full micro-batch. */
function mostSupervised(sequences: Sequences, microTokens: number): number {
  let most = 0;
  let density = 0;
  for (const { weights } of sequences) {
    const targets = weights.reduce((count, weight) => count + (weight > 0 ? 1 : 0), 0);
    most = Math.max(most, targets);
    density = Math.max(density, targets / weights.length);
  }
  return Math.max(most, Math.ceil(density * microTokens));
}
