/** Shingles of normalised text, their MinHash signature and a bottom-k sketch that keeps the smallest of them. */
import { absorb, mix } from "./digest.ts";
import { isHan, normaliser } from "./normalise.ts";

/** Bands × rows of the index: two texts of Jaccard 0.8 meet with odds of 99.6 %, of 0.5 with 36 %. */
export const BANDS = 14;
export const ROWS = 5;
export const PERMUTATIONS = BANDS * ROWS;

/** Shingle hashes kept of one text or record: up to so many the Jaccard index is exact, above it estimated (± 0.035). */
export const SKETCH = 128;

export interface Fingerprint {
  /** Smallest value under each permutation; `PERMUTATIONS` numbers. */
  readonly signature: Uint32Array;
  /** The smallest distinct shingle hashes, ascending, at most `SKETCH`. */
  readonly sketch: Uint32Array;
}

const [MULTIPLIERS, ADDENDS] = permutations();

function permutations(): readonly [Uint32Array, Uint32Array] {
  const multipliers = new Uint32Array(PERMUTATIONS);
  const addends = new Uint32Array(PERMUTATIONS);
  let state = 0x9e3779b9;
  const next = (): number => mix((state = (state + 0x9e3779b9) | 0));
  for (let i = 0; i < PERMUTATIONS; i++) {
    multipliers[i] = next() | 1;
    addends[i] = next();
  }
  return [multipliers, addends];
}

export function fingerprinter(size: number, salt: number): (text: string) => Fingerprint {
  const shinglesOf = shingler(size, salt);
  return (text) => {
    const shingles = shinglesOf(text);
    return { signature: sign(shingles), sketch: shingles.slice(0, SKETCH) };
  };
}

/**
 * Distinct shingles of a text as ascending hashes. A token is a run of letters and digits, or one character
 * where words are not spaced (Chinese, Japanese, Thai); a shingle is `size` neighbouring tokens. Punctuation
 * does not count. A text with fewer tokens has one shingle; a text with none has none. `salt` keeps roles apart.
 */
export function shingler(size: number, salt: number): (text: string) => Uint32Array {
  const normalise = normaliser();
  let tokens = new Uint32Array(1_024);
  let shingles = new Uint32Array(1_024);
  return (text) => {
    const { codes, length } = normalise(text);
    if (tokens.length < length + 1) {
      tokens = new Uint32Array(length * 2);
      shingles = new Uint32Array(length * 2);
    }
    const count = tokenise(codes, length, tokens);
    let made = 0;
    const width = Math.min(size, count);
    const end = count === 0 ? 0 : count - width + 1;
    for (let i = 0; i < end; i++) {
      let hash = salt;
      for (let j = i; j < i + width; j++) hash = absorb(hash, tokens[j]!);
      shingles[made++] = mix(hash);
    }
    const sorted = shingles.slice(0, made).sort();
    return sorted.subarray(0, dropRepeats(sorted));
  };
}

function tokenise(codes: Uint16Array, length: number, tokens: Uint32Array): number {
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
      tokens[count++] = hash >>> 0;
      open = false;
    }
    if (kind === ALONE) tokens[count++] = code;
  }
  if (open) tokens[count++] = hash >>> 0;
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

/** Moves the distinct values of a sorted array to its front and returns how many there are. */
export function dropRepeats(sorted: Uint32Array): number {
  let kept = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (i === 0 || sorted[i] !== sorted[kept - 1]) sorted[kept++] = sorted[i]!;
  }
  return kept;
}

function sign(hashes: Uint32Array): Uint32Array {
  const signature = new Uint32Array(PERMUTATIONS).fill(0xffffffff);
  for (let p = 0; p < PERMUTATIONS; p++) {
    const a = MULTIPLIERS[p]!;
    const b = ADDENDS[p]!;
    let least = 0xffffffff;
    for (let i = 0; i < hashes.length; i++) {
      const value = (Math.imul(a, hashes[i]!) + b) >>> 0;
      if (value < least) least = value;
    }
    signature[p] = least;
  }
  return signature;
}

/** Jaccard index of two sets of which the smallest hashes are known; exact where both are known whole. */
export function jaccard(
  a: Uint32Array,
  aStart: number,
  aLength: number,
  b: Uint32Array,
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
    const x = a[aStart + i]!;
    const y = b[bStart + j]!;
    if (x <= y) i += 1;
    if (y <= x) j += 1;
    if (x === y) both += 1;
    union += 1;
  }
  if (union < known) union = Math.min(known, union + aLength - i + (bLength - j));
  return union === 0 ? 1 : both / union;
}
