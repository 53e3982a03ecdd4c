/** A batch cut into the micro-batches that cost least within so many tokens. */
import type { Sequence } from "./flat-batch.ts";
import { TokenTree, tokenCount } from "./token-tree.ts";

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
  const sorted = sequences.toSorted((a, b) => a.ids.length - b.ids.length);
  const most = Math.floor(maxTokens / lanes);
  const possible = possibleGroups(sorted, most, share);
  if (lanes === 1) return cheapestCut(sorted, possible, most).groups;
  return capShares
    .map((part) => cheapestCut(sorted, possible, Math.floor(most * part)))
    .map((cut) => ({ ...cut, cost: Math.max(...spread(cut.costs, lanes).map(({ cost }) => cost)) }))
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
  const costs = groups.map((group) =>
    costOf(tokenCount(group, share), group.length, Math.max(0, ...group.map(({ ids }) => ids.length))),
  );
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

interface PossibleGroup {
  readonly tokens: number;
  readonly cost: number;
}

/**
 * At [start][n], the group of the n + 1 sequences from `start` on, sorted by length: each that has at most `maxTokens`
 * tokens, and each sequence alone. A group's tokens are counted as they are read: which tokens its sequences can share
 * depends on all of them, not on each and the one before it.
 */
function possibleGroups(
  sorted: readonly Sequence[],
  maxTokens: number,
  share: boolean,
): readonly (readonly PossibleGroup[])[] {
  return sorted.map((_, start) => {
    const tree = new TokenTree(share);
    const groups: PossibleGroup[] = [];
    for (let end = start; end < sorted.length; end++) {
      tree.add(sorted[end]!);
      if (tree.count > maxTokens && end > start) break;
      const cost = costOf(tree.count, end - start + 1, sorted[end]!.ids.length);
      groups.push({ tokens: tree.count, cost });
    }
    return groups;
  });
}

/**
 * Sequences in order of length, cut into contiguous groups of at most `maxTokens` tokens each; a longer sequence goes
 * alone. Of all such cuts the cheapest: a group saves its fixed cost, but pads all its rows to the longest.
 */
function cheapestCut<S extends Sequence>(
  sorted: readonly S[],
  possible: readonly (readonly PossibleGroup[])[],
  maxTokens: number,
): { readonly groups: readonly (readonly S[])[]; readonly costs: readonly number[] } {
  /** Of the first `end` sequences: the least cost, and where its last group begins. */
  const totals = [0, ...sorted.map(() => Number.POSITIVE_INFINITY)];
  const starts = [0, ...sorted.map(() => 0)];
  for (const [start, groups] of possible.entries())
    for (const [index, { tokens, cost }] of groups.entries()) {
      const [end, total] = [start + index + 1, totals[start]! + cost];
      const allowed = index === 0 || tokens <= maxTokens;
      if (allowed && total <= totals[end]!) [totals[end], starts[end]] = [total, start];
    }
  const groups: (readonly S[])[] = [];
  const costs: number[] = [];
  for (let end = sorted.length; end > 0; end = starts[end]!) {
    groups.push(sorted.slice(starts[end], end));
    costs.push(possible[starts[end]!]![end - starts[end]! - 1]!.cost);
  }
  return { groups: groups.toReversed(), costs: costs.toReversed() };
}
