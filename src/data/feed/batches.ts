/** The order in which sequences are trained, in batches of about so many replies. */
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
