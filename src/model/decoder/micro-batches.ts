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
  const most = Math.floor(maxTokens / lanes);
  if (lanes === 1) return cheapestCut(sequences, most, share);
  const costOf = (groups: readonly (readonly S[])[]): number =>
    Math.max(
      ...inLanes(groups, lanes, share).map((lane) =>
        lane.reduce((sum, i) => sum + cost(groups[i]!, share), 0),
      ),
    );
  return capShares
    .map((part) => cheapestCut(sequences, Math.floor(most * part), share))
    .map((groups) => ({ groups, cost: costOf(groups) }))
    .reduce((best, one) => (one.cost < best.cost ? one : best)).groups;
}

/** Of the most tokens a micro-batch may have: what its cut is tried with. */
const capShares = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5] as const;

/** Which micro-batches each lane computes, by number: the costliest first, always to the lane that has least to do. */
export function inLanes(
  groups: readonly (readonly Sequence[])[],
  lanes: number,
  share = true,
): readonly (readonly number[])[] {
  const chosen = Array.from({ length: lanes }, () => ({ cost: 0, groups: [] as number[] }));
  const costs = groups.map((group, index) => ({ index, cost: cost(group, share) }));
  for (const one of costs.sort((a, b) => b.cost - a.cost)) {
    const least = chosen.reduce((best, lane) => (lane.cost < best.cost ? lane : best));
    least.cost += one.cost;
    least.groups.push(one.index);
  }
  return chosen.map((lane) => lane.groups.sort((a, b) => a - b));
}

/** In tokens. */
function cost(group: readonly Sequence[], share: boolean): number {
  const longest = group.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  return tokensPerMicroBatch + tokenTree(group, share).count + tokensPerPair * longest ** 2 * group.length;
}

/**
 * Sequences sorted by length and cut into contiguous groups of at most `maxTokens` tokens each; a longer sequence goes
 * alone. Of all such cuts the cheapest: a group saves its fixed cost, but pads all its rows to the longest.
 */
function cheapestCut<S extends Sequence>(
  sequences: readonly S[],
  maxTokens: number,
  share: boolean,
): readonly (readonly S[])[] {
  const sorted = sequences.toSorted((a, b) => a.ids.length - b.ids.length);
  const lengths = sorted.map(({ ids }) => ids.length);
  const added = tokensAdded(sorted, share);
  /** Of the first `end` sequences: the least cost, and where its last group begins. */
  const costs = [0];
  const starts = [0];
  for (let end = 1; end <= sorted.length; end++) {
    const pairs = lengths[end - 1]! ** 2;
    let best = Number.POSITIVE_INFINITY;
    /** Tokens of sequences start + 1 … end − 1, each beside the one before it. */
    let rest = 0;
    for (let start = end - 1; start >= 0; start--) {
      const tokens = lengths[start]! + rest;
      if (tokens > maxTokens && start < end - 1) break;
      rest += added[start]!;
      const cost = costs[start]! + tokensPerMicroBatch + tokens + tokensPerPair * pairs * (end - start);
      if (cost < best) [best, starts[end]] = [cost, start];
    }
    costs[end] = best;
  }
  const groups: S[][] = [];
  for (let end = sorted.length; end > 0; end = starts[end]!) groups.push(sorted.slice(starts[end], end));
  return groups.toReversed();
}

/** What each sequence adds to a micro-batch that holds the one before it. */
function tokensAdded(sorted: readonly Sequence[], share: boolean): number[] {
  return sorted.map((sequence, index) => {
    const before = sorted[index - 1];
    if (!share || before === undefined) return sequence.ids.length;
    return tokenTree([before, sequence], true).count - before.ids.length;
  });
}
