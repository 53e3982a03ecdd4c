/** Shingles of normalised text, their MinHash signature and a bottom-k sketch that keeps the smallest of them. */
import { absorb, mix } from "./digest.ts";
import { type NormalisedCodes, isHan } from "./normalise.ts";

/** Bands × rows of the index: two texts of Jaccard 0.8 meet with odds of 99.6 %, of 0.5 with 36 %. */
export const BANDS = 14;
export const ROWS = 5;
export const PERMUTATIONS = BANDS * ROWS;

/** Shingle hashes kept of one text or record: up to so many the Jaccard index is exact, above it estimated (± 0.035). */
export const SKETCH = 128;

/** Plain arrays of 32-bit integers: they are many, small and short-lived, which typed arrays are slow at. */
export interface Fingerprint {
  /** Smallest value under each permutation; `PERMUTATIONS` numbers. */
  readonly signature: readonly number[];
  /** The smallest distinct shingle hashes, ascending, at most `SKETCH`. */
  readonly sketch: readonly number[];
}

/** Signature value of an empty set. */
export const NO_VALUE = 0x7fffffff;

const [MULTIPLIERS, ADDENDS] = permutations();

function permutations(): readonly [Int32Array, Int32Array] {
  const multipliers = new Int32Array(PERMUTATIONS);
  const addends = new Int32Array(PERMUTATIONS);
  let state = 0x9e3779b9;
  const next = (): number => mix((state = (state + 0x9e3779b9) | 0));
  for (let i = 0; i < PERMUTATIONS; i++) {
    multipliers[i] = next() | 1;
    addends[i] = next();
  }
  return [multipliers, addends];
}

/** Builds fingerprints from shingles of `size` tokens. */
export function fingerprinter(size: number): (normal: NormalisedCodes) => Fingerprint {
  const shinglesOf = shingler(size);
  return (normal) => {
    const shingles = shinglesOf(normal);
    const sketch: number[] = [];
    for (let i = 0; i < shingles.length && i < SKETCH; i++) sketch.push(shingles[i]!);
    return { signature: sign(shingles), sketch };
  };
}

/**
 * Distinct shingles of a text as ascending hashes, valid until the next call. A token is a run of letters and
 * digits, or one character where words are not spaced (Chinese, Japanese, Thai); a shingle is `size`
 * neighbouring tokens. Punctuation does not count. A text with fewer tokens has one shingle; a text with none
 * has none.
 */
export function shingler(size: number): (normal: NormalisedCodes) => Int32Array {
  let tokens = new Int32Array(1_024);
  let shingles = new Int32Array(1_024);
  return ({ codes, length }) => {
    if (tokens.length < length + 1) {
      tokens = new Int32Array(length * 2);
      shingles = new Int32Array(length * 2);
    }
    const count = tokenise(codes, length, tokens);
    const width = Math.min(size, count);
    const made = count === 0 ? 0 : count - width + 1;
    for (let i = 0; i < made; i++) {
      let hash = 0x1b873593;
      for (let j = i; j < i + width; j++) hash = absorb(hash, tokens[j]!);
      shingles[i] = mix(hash);
    }
    return shingles.subarray(0, sortDistinct(shingles, made));
  };
}

/** Sorts the first `count` values, moves the distinct ones to the front and returns how many there are. */
export function sortDistinct(values: Int32Array, count: number): number {
  if (count > 48) values.subarray(0, count).sort();
  else {
    for (let i = 1; i < count; i++) {
      const value = values[i]!;
      let j = i - 1;
      for (; j >= 0 && values[j]! > value; j--) values[j + 1] = values[j]!;
      values[j + 1] = value;
    }
  }
  let kept = 0;
  for (let i = 0; i < count; i++) {
    if (i === 0 || values[i] !== values[kept - 1]) values[kept++] = values[i]!;
  }
  return kept;
}

function tokenise(codes: Uint16Array, length: number, tokens: Int32Array): number {
  let count = 0;
  let open = false;
  let hash = 0;
  for (let i = 0; i < length; i++) {
    const code = codes[i]!;
    const kind = kindOf(code);
    if (kind === SPACED) {
      hash = absorb(open ? hash : 0x51ed270b, code);
      open = true;
      continue;
    }
    if (open) {
      tokens[count++] = hash;
      open = false;
    }
    if (kind === ALONE) tokens[count++] = code;
  }
  if (open) tokens[count++] = hash;
  return count;
}

const SILENT = 0;
const SPACED = 1;
const ALONE = 2;

function kindOf(code: number): number {
  if (code < 0x80) {
    return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a)
      ? SPACED
      : SILENT;
  }
  if (isHan(code)) return ALONE;
  if (code < 0xc0 || code === 0xd7 || code === 0xf7) return SILENT;
  if (code < 0x0e00) return SPACED;
  // General punctuation, CJK punctuation, presentation forms.
  if ((code >= 0x2000 && code <= 0x2e7f) || (code >= 0x3000 && code <= 0x303f) || code >= 0xfe00)
    return SILENT;
  return ALONE;
}

function sign(shingles: Int32Array): readonly number[] {
  const signature: number[] = [];
  const { length } = shingles;
  for (let p = 0; p < PERMUTATIONS; p++) {
    const a = MULTIPLIERS[p]!;
    const b = ADDENDS[p]!;
    let least = NO_VALUE;
    for (let i = 0; i < length; i++) {
      const value = (Math.imul(a, shingles[i]!) + b) | 0;
      if (value < least) least = value;
    }
    signature.push(least);
  }
  return signature;
}

/** Jaccard index of two sets of which the smallest hashes are known; exact where both are known whole. */
export function jaccard(
  a: ArrayLike<number>,
  aLength: number,
  b: ArrayLike<number>,
  bStart: number,
  bLength: number,
): number {
  let i = 0;
  let j = 0;
  let both = 0;
  let union = 0;
  // A sketch that is full may hide larger hashes: then only the smallest SKETCH of the union are known.
  const partial = aLength >= SKETCH || bLength >= SKETCH;
  const known = partial ? SKETCH : Number.POSITIVE_INFINITY;
  while (i < aLength && j < bLength && union < known) {
    const x = a[i]!;
    const y = b[bStart + j]!;
    if (x <= y) i += 1;
    if (y <= x) j += 1;
    if (x === y) both += 1;
    union += 1;
  }
  if (union < known) union = Math.min(known, union + aLength - i + (bLength - j));
  return union === 0 ? 1 : both / union;
}
