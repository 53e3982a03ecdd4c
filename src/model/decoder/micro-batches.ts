/** A batch cut into the micro-batches that cost least within so many tokens. */
import type { Sequence } from "./flat-batch.ts";
import { tokenTree } from "./token-tree.ts";

/** What a micro-batch costs beyond its tokens, in the time of so many tokens: weights are read and packed once for each. */
const tokensPerMicroBatch = 64;
/** What a pair of query and key costs, padding included, in tokens. Both measured on SmolLM2-135M; wider models differ little. */
const tokensPerPair = 1 / 1000;

export interface MicroBatchOptions {
  /** Whether tokens are counted as `flatBatch` reads them: common beginnings once. Absent: yes. */
  readonly share?: boolean;
  /** Micro-batches computed at once, which have `maxTokens` together. Absent: 1. */
  readonly lanes?: number;
}

/**
 * Micro-batches that cost least within so many tokens. For several lanes they are cut so that the last lane is done
 * soonest: what is smallest is not what is best where one lane waits for another.
 */
export function microBatches<S extends Sequence>(
  sequences: readonly S[],
  maxTokens: number,
  { share = true, lanes = 1 }: MicroBatchOptions = {},
): readonly (readonly S[])[] {
  const sorted = measured(
    sequences.toSorted((a, b) => a.ids.length - b.ids.length),
    share,
  );
  const most = Math.floor(maxTokens / lanes);
  if (lanes === 1) return cheapestCut(sorted, most).groups;
  return capShares
    .map((part) => cheapestCut(sorted, Math.floor(most * part)))
    .map(({ groups, costs }) => ({ groups, cost: Math.max(...spread(costs, lanes).map(({ cost }) => cost)) }))
    .reduce((best, one) => (one.cost < best.cost ? one : best)).groups;
}

/** Of the most tokens a micro-batch may have: what its cut is tried with. */
const capShares = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5] as const;

/** Which of these micro-batches each lane computes, by number. */
export function inLanes(
  groups: readonly (readonly Sequence[])[],
  lanes: number,
  share = true,
): readonly (readonly number[])[] {
  if (lanes === 1) return [groups.map((_, index) => index)];
  const costs = groups.map((group) => {
    const { lengths, added } = measured(group, share);
    return costOf(
      added.reduce((sum, tokens) => sum + tokens, 0),
      lengths.length,
      Math.max(0, ...lengths),
    );
  });
  return spread(costs, lanes).map(({ chosen }) => chosen.toSorted((a, b) => a - b));
}

/** The costliest first, always to the lane that has least to do. */
function spread(
  costs: readonly number[],
  lanes: number,
): readonly { readonly cost: number; readonly chosen: readonly number[] }[] {
  const all = Array.from({ length: lanes }, () => ({ cost: 0, chosen: [] as number[] }));
  const order = costs.map((_, index) => index).sort((a, b) => costs[b]! - costs[a]!);
  for (const index of order) {
    const least = all.reduce((best, lane) => (lane.cost < best.cost ? lane : best));
    least.cost += costs[index]!;
    least.chosen.push(index);
  }
  return all;
}

/** Of a micro-batch of so many rows, in tokens. */
function costOf(tokens: number, rows: number, longest: number): number {
  return tokensPerMicroBatch + tokens + tokensPerPair * longest ** 2 * rows;
}

interface Measured<S> {
  readonly sequences: readonly S[];
  readonly lengths: readonly number[];
  /** What each sequence adds to a micro-batch that holds the one before it. */
  readonly added: readonly number[];
}

function measured<S extends Sequence>(sequences: readonly S[], share: boolean): Measured<S> {
  const lengths = sequences.map(({ ids }) => ids.length);
  const added = sequences.map((sequence, index) => {
    const before = sequences[index - 1];
    if (!share || before === undefined) return sequence.ids.length;
    return tokenTree([before, sequence], true).count - before.ids.length;
  });
  return { sequences, lengths, added };
}

/**
 * Sequences in order of length, cut into contiguous groups of at most `maxTokens` tokens each; a longer sequence goes
 * alone. Of all such cuts the cheapest: a group saves its fixed cost, but pads all its rows to the longest.
 */
function cheapestCut<S extends Sequence>(
  { sequences, lengths, added }: Measured<S>,
  maxTokens: number,
): { readonly groups: readonly (readonly S[])[]; readonly costs: readonly number[] } {
  /** Of the first `end` sequences: the least cost, and where its last group begins. */
  const totals = [0];
  const starts = [0];
  for (let end = 1; end <= sequences.length; end++) {
    let best = Number.POSITIVE_INFINITY;
    /** Tokens of sequences start + 1 … end − 1, each beside the one before it. */
    let rest = 0;
    for (let start = end - 1; start >= 0; start--) {
      const tokens = lengths[start]! + rest;
      if (tokens > maxTokens && start < end - 1) break;
      rest += added[start]!;
      const total = totals[start]! + costOf(tokens, end - start, lengths[end - 1]!);
      if (total < best) [best, starts[end]] = [total, start];
    }
    totals[end] = best;
  }
  const groups: (readonly S[])[] = [];
  const costs: number[] = [];
  for (let end = sequences.length; end > 0; end = starts[end]!) {
    groups.push(sequences.slice(starts[end], end));
    costs.push(totals[end]! - totals[starts[end]!]!);
  }
  return { groups: groups.toReversed(), costs: costs.toReversed() };
}
