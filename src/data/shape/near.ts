/** An exact search for sets with Jaccard similarity at or above a threshold: finds every such pair, not most. */

/**
 * Index of the smaller side. A pair with Jaccard ≥ t must share one of the first |x| − ⌈t·|x|⌉ + 1 tokens of each
 * set in any common order (prefix filter: Chaudhuri, Ganti and Kaushik, 2006; Bayardo, Ma and Srikant, 2007). The
 * order here is "rarest in the index first", so most sets of the other side meet no posting at all.
 */
export class NearIndex {
  readonly threshold: number;
  /** Tokens of all sets in rarity order, one after another. */
  readonly #tokens: Uint32Array;
  readonly #starts: Float64Array;
  readonly #frequency: { readonly cells: Uint8Array; readonly shift: number };
  /** Postings by bucket of token: the set ids whose prefix holds the token. */
  readonly #bucketStarts: Uint32Array;
  readonly #postingTokens: Uint32Array;
  readonly #postingSets: Uint32Array;
  readonly #bucketMask: number;
  readonly #stamp: Uint32Array;
  #probe = 0;
  #query = new Uint32Array(256);

  /** `sets`: ascending distinct 32-bit tokens each; ids are positions. An empty set is similar to nothing. */
  constructor(sets: readonly Uint32Array[], threshold: number) {
    this.threshold = threshold;
    this.#frequency = logFrequencies(sets);
    this.#starts = new Float64Array(sets.length + 1);
    for (const [id, set] of sets.entries()) this.#starts[id + 1] = this.#starts[id]! + set.length;
    this.#tokens = new Uint32Array(this.#starts[sets.length]!);
    let postings = 0;
    for (const [id, set] of sets.entries()) {
      const own = this.#tokens.subarray(this.#starts[id]!, this.#starts[id + 1]!);
      this.#recode(set, own);
      postings += prefixLength(own.length, threshold);
    }
    let buckets = 1024;
    while (buckets < postings && buckets < 1 << 24) buckets *= 2;
    this.#bucketMask = buckets - 1;
    this.#bucketStarts = new Uint32Array(buckets + 1);
    this.#postingTokens = new Uint32Array(postings);
    this.#postingSets = new Uint32Array(postings);
    this.#stamp = new Uint32Array(sets.length);
    this.#fill(sets.length);
  }

  /** Calls `found` for every set of the index with Jaccard similarity ≥ threshold to `set` (itself included, if it is there). */
  search(set: Uint32Array, found: (id: number, similarity: number) => void): void {
    if (set.length > this.#query.length) this.#query = new Uint32Array(2 * set.length);
    const query = this.#query.subarray(0, set.length);
    this.#recode(set, query);
    this.#probe += 1;
    const least = Math.ceil(this.threshold * query.length - 1e-9);
    const most = Math.floor(query.length / this.threshold + 1e-9);
    const prefix = prefixLength(query.length, this.threshold);
    for (let i = 0; i < prefix; i++) {
      const token = query[i]!;
      const bucket = bucketOf(token, this.#bucketMask);
      for (let p = this.#bucketStarts[bucket]!; p < this.#bucketStarts[bucket + 1]!; p++) {
        if (this.#postingTokens[p] !== token) continue;
        const id = this.#postingSets[p]!;
        if (this.#stamp[id] === this.#probe) continue;
        this.#stamp[id] = this.#probe;
        const size = this.#starts[id + 1]! - this.#starts[id]!;
        if (size < least || size > most) continue;
        const similarity = this.#similarity(query, id, size);
        if (similarity >= this.threshold - 1e-12) found(id, similarity);
      }
    }
  }

  /** Jaccard similarity, or 0 as soon as the threshold is out of reach. */
  #similarity(query: Uint32Array, id: number, size: number): number {
    const needed = Math.ceil((this.threshold / (1 + this.threshold)) * (query.length + size) - 1e-9);
    const start = this.#starts[id]!;
    let i = 0;
    let j = 0;
    let common = 0;
    while (i < query.length && j < size) {
      if (common + Math.min(query.length - i, size - j) < needed) return 0;
      const a = query[i]!;
      const b = this.#tokens[start + j]!;
      if (a === b) common += 1;
      if (a <= b) i += 1;
      if (b <= a) j += 1;
    }
    return common / (query.length + size - common);
  }

  /** Puts the logarithm of a token's frequency into its top five bits, so that plain numeric order is rarity order. */
  #recode(set: Uint32Array, into: Uint32Array): void {
    const { cells, shift } = this.#frequency;
    for (let i = 0; i < set.length; i++) {
      const token = set[i]!;
      into[i] = ((cells[token >>> shift]! << 27) | (token & 0x7ffffff)) >>> 0;
    }
    into.sort();
  }

  #fill(sets: number): void {
    const starts = this.#bucketStarts;
    const each = (visit: (bucket: number, token: number, id: number) => void): void => {
      for (let id = 0; id < sets; id++) {
        const start = this.#starts[id]!;
        const prefix = prefixLength(this.#starts[id + 1]! - start, this.threshold);
        for (let i = 0; i < prefix; i++) {
          const token = this.#tokens[start + i]!;
          visit(bucketOf(token, this.#bucketMask), token, id);
        }
      }
    };
    each((bucket) => {
      starts[bucket + 1]! += 1;
    });
    for (let bucket = 0; bucket + 1 < starts.length; bucket++) starts[bucket + 1]! += starts[bucket]!;
    const cursor = starts.slice();
    each((bucket, token, id) => {
      const at = cursor[bucket]!;
      cursor[bucket] = at + 1;
      this.#postingTokens[at] = token;
      this.#postingSets[at] = id;
    });
  }
}

/**
 * ⌊log₂(count)⌋ + 1 of each cell, 0 where the index has no such token. A cell is the token's top bits, at most 22
 * of them: an order needs no more.
 */
function logFrequencies(sets: readonly Uint32Array[]): {
  readonly cells: Uint8Array;
  readonly shift: number;
} {
  const tokens = sets.reduce((sum, set) => sum + set.length, 0);
  const bits = Math.min(22, Math.max(8, 34 - Math.clz32(tokens)));
  const shift = 32 - bits;
  const counts = new Uint32Array(2 ** bits);
  for (const set of sets) for (const token of set) counts[token >>> shift]! += 1;
  const cells = new Uint8Array(counts.length);
  for (let cell = 0; cell < cells.length; cell++) cells[cell] = Math.min(31, 32 - Math.clz32(counts[cell]!));
  return { cells, shift };
}

function prefixLength(size: number, threshold: number): number {
  return size === 0 ? 0 : size - Math.ceil(threshold * size - 1e-9) + 1;
}

function bucketOf(token: number, mask: number): number {
  return (Math.imul(token, 0x9e3779b1) >>> 7) & mask;
}

/** Jaccard similarity of two ascending sets of distinct tokens: |a ∩ b| / |a ∪ b|; 0 for two empty sets. */
export function jaccard(a: Uint32Array, b: Uint32Array): number {
  let i = 0;
  let j = 0;
  let common = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) common += 1;
    const [x, y] = [a[i]!, b[j]!];
    if (x <= y) i += 1;
    if (y <= x) j += 1;
  }
  const union = a.length + b.length - common;
  return union === 0 ? 0 : common / union;
}
