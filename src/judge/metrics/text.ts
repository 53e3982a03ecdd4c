/** Text as the reference metrics see it: Python's notion of white space, code points, and n-grams as small integers. */

// Python's str.isspace(), which str.split() and str.strip() use; JavaScript's \s differs in U+FEFF, U+0085 and U+001C–1F.
const pythonSpace =
  "\\t\\n\\v\\f\\r\\u001c-\\u001f \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const separators = new RegExp(`[${pythonSpace}]+`, "u");
const leading = new RegExp(`^[${pythonSpace}]+`, "u");
const trailing = new RegExp(`[${pythonSpace}]$`, "u");

/** Words between runs of white space, as Python's `str.split()`. */
export function splitWords(text: string): string[] {
  return text.split(separators).filter((word) => word !== "");
}

export function stripStart(text: string): string {
  return text.replace(leading, "");
}

/** As Python's `str.rstrip()`; by hand, since `/\s+$/` is quadratic on long runs of inner spaces. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && trailing.test(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}

const cjkCharacter =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}]/u;

/** Whether a text is mostly written without spaces: a fifth of its letters are Han, kana, Hangul or bopomofo. */
export function isMostlyCjk(texts: Iterable<string>): boolean {
  let letters = 0;
  let cjk = 0;
  for (const text of texts) {
    for (const character of text) {
      if (cjkCharacter.test(character)) [letters, cjk] = [letters + 1, cjk + 1];
      else if (/\p{L}/u.test(character)) letters += 1;
    }
  }
  return letters > 0 && cjk / letters >= 0.2;
}

/** Gives equal n-grams equal small integers, exactly: an n-gram is its (n−1)-gram's number and its last token's. */
export interface NgramNumbers {
  /** `[order][position]`: numbers of the n-grams of `tokens` for orders 1 … `maxOrder` (index 0 holds order 1). */
  of(tokens: readonly string[], maxOrder: number): readonly (readonly number[])[];
}

/** Numbers are comparable within one instance only. */
export function ngramNumbers(): NgramNumbers {
  const words = new Map<string, number>();
  const grams = new Map<number, number>();
  // Below 2^26 distinct tokens and n-grams the pair fits a double exactly; a text of that size is refused elsewhere.
  const base = 2 ** 26;
  return {
    of: (tokens, maxOrder) => {
      const unigrams = tokens.map((token) => intern(words, token));
      const orders: number[][] = [unigrams];
      for (let order = 2; order <= maxOrder; order++) {
        const shorter = orders[order - 2]!;
        const longer: number[] = [];
        for (let i = 0; i + order <= tokens.length; i++) {
          longer.push(intern(grams, shorter[i]! * base + unigrams[i + order - 1]!));
        }
        orders.push(longer);
      }
      return orders;
    },
  };
}

function intern<K>(table: Map<K, number>, key: K): number {
  const known = table.get(key);
  if (known !== undefined) return known;
  table.set(key, table.size);
  return table.size - 1;
}

/** How often each value occurs. */
export function countValues<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Σ min(count in a, count in b) over the values of both. */
export function overlap<T>(a: ReadonlyMap<T, number>, b: ReadonlyMap<T, number>): number {
  let shared = 0;
  for (const [value, count] of a) shared += Math.min(count, b.get(value) ?? 0);
  return shared;
}
