/** Trains a byte-level byte-pair encoding (Sennrich et al., 2016; byte alphabet as in GPT-2), deterministically. */

/** Counted words: what pre-tokenisation made of the text, as UTF-8. */
export type WordCounts = ReadonlyMap<string, number>;

export interface TrainedEncoding {
  /** Token strings in the printable alphabet, ids in order: 256 bytes, then one for each merge. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

export interface TrainOptions {
  readonly merges: number;
  /** A merge whose token would hold more Chinese characters is passed over: whole template phrases are no words. */
  readonly maxHanCharacters: number;
  readonly maxBytes: number;
}

/** GPT-2's alphabet: every byte as one printable character, in the order of its vocabulary. */
export const byteAlphabet: readonly { readonly byte: number; readonly character: string }[] = (() => {
  const printable: number[] = [];
  for (let byte = 33; byte <= 126; byte++) printable.push(byte);
  for (let byte = 161; byte <= 172; byte++) printable.push(byte);
  for (let byte = 174; byte <= 255; byte++) printable.push(byte);
  const alphabet = printable.map((byte) => ({ byte, character: String.fromCodePoint(byte) }));
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    if (!printable.includes(byte)) alphabet.push({ byte, character: String.fromCodePoint(next++) });
  }
  return alphabet;
})();

/**
 * Qwen2's pre-tokenisation (single digits, words with their leading blank, runs of letters whatever the script),
 * without the inline case flag that older JavaScript engines lack.
 */
const PRE_TOKEN =
  /'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;

/** The same rule as Hugging Face's tokenizer.json of Qwen2 spells it. */
export const PRE_TOKEN_SOURCE =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Adds the words of `text` to `counts`, each `weight` times. */
export function countWords(text: string, weight: number, counts: Map<string, number>): void {
  for (const [word] of text.normalize("NFC").matchAll(PRE_TOKEN)) {
    counts.set(word, (counts.get(word) ?? 0) + weight);
  }
}

/** Two token ids in one number: the key of a pair. */
const PAIR = 65_536;

/** Learns `options.merges` merges: the most frequent pair first, ties by the lower ids. */
export function trainEncoding(counts: WordCounts, options: TrainOptions): TrainedEncoding {
  const idOfByte = new Uint16Array(256);
  for (const [id, { byte }] of byteAlphabet.entries()) idOfByte[byte] = id;
  const bytesOfToken: Buffer[] = byteAlphabet.map(({ byte }) => Buffer.of(byte));
  // Sorted words make the result independent of the order in which the text was read.
  const entries = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  const words = entries.map(([word]) => [...Buffer.from(word, "utf8")].map((byte) => idOfByte[byte]!));
  const weights = entries.map(([, count]) => count);

  const pairCounts = new Map<number, number>();
  const wordsOfPair = new Map<number, Set<number>>();
  const change = (pair: number, word: number, amount: number): void => {
    pairCounts.set(pair, (pairCounts.get(pair) ?? 0) + amount);
    if (amount > 0) {
      const known = wordsOfPair.get(pair);
      if (known === undefined) wordsOfPair.set(pair, new Set([word]));
      else known.add(word);
    }
  };
  for (const [index, word] of words.entries()) {
    for (let i = 0; i + 1 < word.length; i++) change(word[i]! * PAIR + word[i + 1]!, index, weights[index]!);
  }

  const refused = new Set<number>();
  const merges: [number, number][] = [];
  while (merges.length < options.merges) {
    const best = mostFrequent(pairCounts, refused);
    if (best === undefined) throw new Error(`the text allows only ${merges.length} merges`);
    const left = Math.floor(best / PAIR);
    const right = best % PAIR;
    const bytes = Buffer.concat([bytesOfToken[left]!, bytesOfToken[right]!]);
    if (!isAllowed(bytes, options)) {
      refused.add(best);
      continue;
    }
    const merged = bytesOfToken.length;
    bytesOfToken.push(bytes);
    merges.push([left, right]);
    for (const index of wordsOfPair.get(best) ?? []) {
      const word = words[index]!;
      const weight = weights[index]!;
      for (let i = 0; i + 1 < word.length; i++) change(word[i]! * PAIR + word[i + 1]!, index, -weight);
      words[index] = mergePair(word, left, right, merged);
      const next = words[index];
      for (let i = 0; i + 1 < next.length; i++) change(next[i]! * PAIR + next[i + 1]!, index, weight);
    }
    pairCounts.delete(best);
    wordsOfPair.delete(best);
  }
  const characterOfByte = new Map(byteAlphabet.map(({ byte, character }) => [byte, character]));
  const tokens = bytesOfToken.map((bytes) => [...bytes].map((byte) => characterOfByte.get(byte)!).join(""));
  return { tokens, merges: merges.map(([left, right]) => [tokens[left]!, tokens[right]!]) };
}

function mostFrequent(pairCounts: Map<number, number>, refused: ReadonlySet<number>): number | undefined {
  let best: number | undefined;
  let bestCount = 1;
  for (const [pair, count] of pairCounts) {
    if (count < bestCount || (count === bestCount && best !== undefined && pair > best)) continue;
    if (refused.has(pair)) continue;
    [best, bestCount] = [pair, count];
  }
  return best;
}

function isAllowed(bytes: Buffer, options: TrainOptions): boolean {
  if (bytes.length > options.maxBytes) return false;
  return (bytes.toString("utf8").match(/\p{Script=Han}/gu)?.length ?? 0) <= options.maxHanCharacters;
}

function mergePair(word: readonly number[], left: number, right: number, merged: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < word.length; i++) {
    if (word[i] === left && word[i + 1] === right) {
      result.push(merged);
      i += 1;
    } else {
      result.push(word[i]!);
    }
  }
  return result;
}
