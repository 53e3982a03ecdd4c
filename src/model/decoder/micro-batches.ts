/** A batch cut into micro-batches of so many tokens. */
import type { Sequence } from "./flat-batch.ts";
import { tokenTree } from "./token-tree.ts";

/**
 * Sequences sorted by length and cut into contiguous groups that read about equally many tokens, at most `maxTokens`
 * each, so that a padded view of a group wastes little. A longer sequence goes alone. With `share`, tokens are counted
 * as `flatBatch` reads them: common beginnings once.
 */
export function microBatches<S extends Sequence>(
  sequences: readonly S[],
  maxTokens: number,
  share = true,
): readonly (readonly S[])[] {
  const sorted = sequences.toSorted((a, b) => a.ids.length - b.ids.length);
  const fitting = sorted.filter((sequence) => sequence.ids.length <= maxTokens);
  const alone = sorted.filter((sequence) => sequence.ids.length > maxTokens).map((sequence) => [sequence]);
  if (fitting.length === 0) return alone;
  // What each sequence adds to those before it: the size that it has within a group, but for the group's first.
  const added = tokensAdded(fitting, share);
  const tokens = added.reduce((sum, count) => sum + count, 0);
  for (let count = Math.ceil(tokens / maxTokens); count < fitting.length; count++) {
    const groups = evenGroups(fitting, added, count, tokens / count);
    if (groups.every((group) => tokenTree(group, share).count <= maxTokens)) return [...groups, ...alone];
  }
  return [...fitting.map((sequence) => [sequence]), ...alone];
}

function tokensAdded(sequences: readonly Sequence[], share: boolean): number[] {
  let before = 0;
  return tokenTree(sequences, share).tokens.map((tokens) => {
    const after = Math.max(before, tokens.at(-1)! + 1);
    const added = after - before;
    before = after;
    return added;
  });
}

/** A group ends before the sequence whose middle would pass its share of the tokens. */
function evenGroups<S>(sorted: readonly S[], sizes: readonly number[], count: number, share: number): S[][] {
  const groups: S[][] = [[]];
  let filled = 0;
  for (const [index, sequence] of sorted.entries()) {
    const size = sizes[index]!;
    if (filled > 0 && filled + size / 2 > share && groups.length < count) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)!.push(sequence);
    filled += size;
  }
  return groups;
}
