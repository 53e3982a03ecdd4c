/** The order in which sequences are trained: batches of about so many replies, micro-batches of so many tokens. */
import { random } from "../../util/index.ts";
import type { FeedSequence } from "./fold.ts";

export interface BatchOptions {
  /** Replies, or tokens, in a batch: whole sequences are added until there are at least so many. */
  readonly batch: number;
  /** What `batch` counts; absent: replies. */
  readonly unit?: "replies" | "tokens";
  readonly seed: number;
}

/**
 * The batches of one epoch. Every sequence is in exactly one of them; the last one may hold less. The
 * order depends on the seed and the epoch alone, so epoch and index of a batch are the whole state to resume from.
 */
export function epochBatches(
  sequences: readonly FeedSequence[],
  epoch: number,
  { batch, unit = "replies", seed }: BatchOptions,
): readonly (readonly FeedSequence[])[] {
  const batches: FeedSequence[][] = [];
  let current: FeedSequence[] = [];
  let filled = 0;
  for (const sequence of random(seed, `order of epoch ${epoch}`).shuffle(sequences)) {
    current.push(sequence);
    filled += unit === "tokens" ? sequence.ids.length : sequence.replies;
    if (filled < batch) continue;
    batches.push(current);
    current = [];
    filled = 0;
  }
  if (current.length > 0) batches.push(current);
  return batches;
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
