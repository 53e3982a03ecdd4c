/** The tokens of a batch as a tree: where sequences begin alike, the beginning is read once. */
import type { Sequence } from "./flat-batch.ts";

/**
 * A causal model gives a token the same hidden state whatever follows it, so sequences share their common beginning.
 * A token is shared only while at most one of them has a target behind it: each target keeps a row of its own.
 */
export class TokenTree {
  private readonly share: boolean;
  private readonly ids: number[] = [];
  private readonly predicts: boolean[] = [];
  /** Of each token, the newest behind it and the next older one beside it; −1 where there is none. */
  private readonly newestChild: number[] = [];
  private readonly olderSibling: number[] = [];
  private newestRoot = -1;

  /** Without `share`, every position has its own token. */
  constructor(share: boolean) {
    this.share = share;
  }

  /** T: the tokens to read, numbered in the order in which they first occur. */
  get count(): number {
    return this.ids.length;
  }

  /** The token at each position of one more sequence. */
  add({ ids, weights }: Sequence): Int32Array {
    const path = new Int32Array(ids.length);
    let parent = -1;
    for (let s = 0; s < ids.length; s++) {
      const target = (weights[s + 1] ?? 0) > 0;
      let token = this.share ? this.childOf(parent, ids[s]!) : -1;
      if (token === -1 || (target && this.predicts[token]!)) token = this.grow(parent, ids[s]!);
      if (target) this.predicts[token] = true;
      path[s] = token;
      parent = token;
    }
    return path;
  }

  private childOf(parent: number, id: number): number {
    let token = parent === -1 ? this.newestRoot : this.newestChild[parent]!;
    while (token !== -1 && this.ids[token] !== id) token = this.olderSibling[token]!;
    return token;
  }

  private grow(parent: number, id: number): number {
    const token = this.ids.push(id) - 1;
    this.predicts.push(false);
    this.newestChild.push(-1);
    this.olderSibling.push(parent === -1 ? this.newestRoot : this.newestChild[parent]!);
    if (parent === -1) this.newestRoot = token;
    else this.newestChild[parent] = token;
    return token;
  }
}

/** How many tokens these sequences are read as. */
export function tokenCount(sequences: readonly Sequence[], share: boolean): number {
  const tree = new TokenTree(share);
  for (const sequence of sequences) tree.add(sequence);
  return tree.count;
}
