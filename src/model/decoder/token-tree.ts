/** The tokens of a batch as a tree: where sequences begin alike, the beginning is read once. */
import type { Sequence } from "./flat-batch.ts";

export interface TokenTree {
  /** T: the tokens to read, numbered in the order in which they first occur. */
  readonly count: number;
  /** Of each sequence, the token at each of its positions. */
  readonly tokens: readonly Int32Array[];
}

/**
 * A causal model gives a token the same hidden state whatever follows it, so sequences share their common beginning.
 * A token is shared only while at most one of them has a target behind it: each target keeps a row of its own.
 * Without `share`, every position has its own token.
 */
export function tokenTree(sequences: readonly Sequence[], share: boolean): TokenTree {
  const children = new Map<number, number>();
  const predicts: boolean[] = [];
  const tokens = sequences.map(({ ids, weights }) => {
    const path = new Int32Array(ids.length);
    let parent = -1;
    for (let s = 0; s < ids.length; s++) {
      const target = (weights[s + 1] ?? 0) > 0;
      // Ids stay below 2³², so parent and id make one exact key.
      const key = (parent + 1) * 2 ** 32 + ids[s]!;
      let token = share ? children.get(key) : undefined;
      if (token === undefined || (target && predicts[token]!)) {
        token = predicts.push(false) - 1;
        children.set(key, token);
      }
      if (target) predicts[token] = true;
      path[s] = token;
      parent = token;
    }
    return path;
  });
  return { count: predicts.length, tokens };
}
