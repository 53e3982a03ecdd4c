/** The order in which sequences are trained: batches of about so many replies, micro-batches of so many tokens. */
import { UserError, random } from "../../util/index.ts";
import type { FeedSequence } from "./fold.ts";

/** Where training stands: the next batch to run. With the seed it is the whole state of the order. */
export interface FeedCursor {
  /** Counts from 0. */
  readonly epoch: number;
  /** The next batch within the epoch, from 0. */
  readonly batch: number;
}

export interface Batch {
  readonly sequences: readonly FeedSequence[];
  /** Supervised replies. */
  readonly replies: number;
  /** Sum of the loss weights: what the batch's loss is divided by. */
  readonly weight: number;
  readonly tokens: number;
  /** Where to go on after this batch. */
  readonly next: FeedCursor;
}

export interface BatchOptions {
  /** Replies in a batch: whole sequences are added until there are at least so many. */
  readonly batch: number;
  readonly seed: number;
}

export const start: FeedCursor = { epoch: 0, batch: 0 };

/**
 * The batches of one epoch. Every sequence is in exactly one of them; the last one may hold fewer replies. The
 * order depends on the seed and the epoch alone.
 */
export function epochBatches(
  sequences: readonly FeedSequence[],
  epoch: number,
  { batch, seed }: BatchOptions,
): readonly (readonly FeedSequence[])[] {
  const batches: FeedSequence[][] = [];
  let current: FeedSequence[] = [];
  let replies = 0;
  for (const sequence of random(seed, `order of epoch ${epoch}`).shuffle(sequences)) {
    current.push(sequence);
    replies += sequence.replies;
    if (replies < batch) continue;
    batches.push(current);
    current = [];
    replies = 0;
  }
  if (current.length > 0) batches.push(current);
  return batches;
}

/** Batches from `cursor` on, without end; epochs differ in how many they have when sequences hold several replies. */
export function* batchesFrom(
  sequences: readonly FeedSequence[],
  options: BatchOptions,
  cursor: FeedCursor = start,
): Generator<Batch, never> {
  if (sequences.length === 0) throw new Error("no sequences to make batches of");
  let at = cursor;
  for (;;) {
    const batches = epochBatches(sequences, at.epoch, options);
    if (at.batch > batches.length) {
      throw new UserError(
        `the checkpoint stands before batch ${at.batch + 1} of an epoch that has ${batches.length}`,
        { next: "Go on with the data and batch size that the run was started with." },
      );
    }
    for (let index = at.batch; index < batches.length; index++) {
      const next =
        index + 1 < batches.length
          ? { epoch: at.epoch, batch: index + 1 }
          : { epoch: at.epoch + 1, batch: 0 };
      yield { sequences: batches[index]!, ...countsOf(batches[index]!), next };
    }
    at = { epoch: at.epoch + 1, batch: 0 };
  }
}

/** How many batches the first `epochs` epochs have together. */
export function countBatches(
  sequences: readonly FeedSequence[],
  epochs: number,
  options: BatchOptions,
): number {
  let count = 0;
  for (let epoch = 0; epoch < epochs; epoch++) count += epochBatches(sequences, epoch, options).length;
  return count;
}

function countsOf(sequences: readonly FeedSequence[]): Pick<Batch, "replies" | "weight" | "tokens"> {
  let [replies, weight, tokens] = [0, 0, 0];
  for (const sequence of sequences) {
    replies += sequence.replies;
    tokens += sequence.ids.length;
    for (const one of sequence.weights) weight += one;
  }
  return { replies, weight, tokens };
}

/**
 * Sequences sorted by length and cut into contiguous groups of about equal real tokens, at most `maxTokens` each,
 * so that a padded view of a group wastes little. A longer sequence goes alone.
 */
export function microBatches(
  sequences: readonly FeedSequence[],
  maxTokens: number,
): readonly (readonly FeedSequence[])[] {
  const sorted = sequences.toSorted((a, b) => a.ids.length - b.ids.length);
  const fitting = sorted.filter((sequence) => sequence.ids.length <= maxTokens);
  const alone = sorted.filter((sequence) => sequence.ids.length > maxTokens).map((sequence) => [sequence]);
  if (fitting.length === 0) return alone;
  const tokens = fitting.reduce((sum, sequence) => sum + sequence.ids.length, 0);
  for (let count = Math.ceil(tokens / maxTokens); count < fitting.length; count++) {
    const groups = evenGroups(fitting, count, tokens / count);
    if (groups.every((group) => lengthOf(group) <= maxTokens)) return [...groups, ...alone];
  }
  return [...fitting.map((sequence) => [sequence]), ...alone];
}

/** A group ends before the sequence whose middle would pass its share of the tokens. */
function evenGroups(sorted: readonly FeedSequence[], count: number, share: number): FeedSequence[][] {
  const groups: FeedSequence[][] = [[]];
  let filled = 0;
  for (const sequence of sorted) {
    const { length } = sequence.ids;
    if (filled > 0 && filled + length / 2 > share && groups.length < count) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)!.push(sequence);
    filled += length;
  }
  return groups;
}

function lengthOf(sequences: readonly FeedSequence[]): number {
  return sequences.reduce((sum, sequence) => sum + sequence.ids.length, 0);
}
