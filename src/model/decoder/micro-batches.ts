/** A batch cut into the micro-batches that cost least within so many tokens. */
import type { Sequence } from "./flat-batch.ts";
import { tokenTree } from "./token-tree.ts";

/** What a micro-batch costs beyond its tokens, in the time of so many tokens: weights are read and packed once for each. */
const tokensPerMicroBatch = 64;
/** What a pair of query and key costs, padding included, in tokens. Both measured on SmolLM2-135M; wider models differ little. */
const tokensPerPair = 1 / 1000;

/**
 * Sequences sorted by length and cut into contiguous groups of at most `maxTokens` tokens each; a longer sequence goes
 * alone. Of all such cuts the cheapest: a group saves its fixed cost, but pads all its rows to the longest. With `share`,
 * tokens are counted as `flatBatch` reads them: common beginnings once.
 */
export function microBatches<S extends Sequence>(
  sequences: readonly S[],
  maxTokens: number,
  share = true,
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
