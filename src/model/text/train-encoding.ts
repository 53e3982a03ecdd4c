/** Trains a byte-level byte-pair encoding (Sennrich et al., 2016; byte alphabet as in GPT-2), deterministically. */
import { UserError } from "../../util/index.ts";
import { byteCharacters } from "./byte-alphabet.ts";

/** Counted words: what pre-tokenisation made of the text, as UTF-8. */
export type WordCounts = ReadonlyMap<string, number>;

export interface TrainedEncoding {
  /** Token strings in the printable alphabet, ids in order: 256 bytes, then one for each merge. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

export interface EncodingOptions {
  readonly merges: number;
  /** A merge whose token would hold more Chinese characters is passed over: whole phrases are no words. */
  readonly maxHanCharacters: number;
  readonly maxBytes: number;
}

/** The bytes in the order of GPT-2's vocabulary: those that print first. */
const byteOrder: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte).sort(
  (a, b) => byteCharacters[a]!.codePointAt(0)! - byteCharacters[b]!.codePointAt(0)!,
);

/**
 * Qwen2's pre-tokenisation (single digits, words with their leading blank, runs of letters whatever the script),
 * without the inline case flag that older JavaScript engines lack.
 */
const words =
  /'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;

/** The same rule as Hugging Face's tokenizer.json of Qwen2 spells it. */
export const wordPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Adds the words of `text` to `counts`, each `weight` times. */
export function countWords(text: string, weight: number, counts: Map<string, number>): void {
  for (const [word] of text.normalize("NFC").matchAll(words)) {
    counts.set(word, (counts.get(word) ?? 0) + weight);
  }
}

/** Two token ids in one number: the key of a pair. Exact up to 2²⁶ tokens. */
const PAIR = 2 ** 26;

/**
 * Learns `options.merges` merges: the most frequent pair first, ties by the lower ids. A `UserError` where fewer pairs
 * occur twice.
 */
export function trainEncoding(counts: WordCounts, options: EncodingOptions): TrainedEncoding {
  const idOfByte = new Uint16Array(256);
  for (const [id, byte] of byteOrder.entries()) idOfByte[byte] = id;
  const bytesOfToken: Buffer[] = byteOrder.map((byte) => Buffer.of(byte));
  // Sorted words make the result independent of the order in which the text was read.
  const entries = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  const spelled = entries.map(([word]) => [...Buffer.from(word, "utf8")].map((byte) => idOfByte[byte]!));
  const weights = entries.map(([, count]) => count);

  const pairCounts = new Map<number, number>();
  const wordsOfPair = new Map<number, Set<number>>();
  const change = (pair: number, word: number, amount: number): void => {
    pairCounts.set(pair, (pairCounts.get(pair) ?? 0) + amount);
    if (amount < 0) return;
    const known = wordsOfPair.get(pair);
    if (known === undefined) wordsOfPair.set(pair, new Set([word]));
    else known.add(word);
  };
  const pairsOf = function* (word: readonly number[]): Generator<number> {
    for (let i = 0; i + 1 < word.length; i++) yield word[i]! * PAIR + word[i + 1]!;
  };
  for (const [index, word] of spelled.entries())
    for (const pair of pairsOf(word)) change(pair, index, weights[index]!);
  const queue = pairQueue();
  for (const [pair, count] of pairCounts) queue.push(count, pair);

  const refused = new Set<number>();
  const merges: [number, number][] = [];
  while (merges.length < options.merges) {
    const found = queue.pop();
    if (found === undefined || found.count < 2) throw tooFewMerges(merges.length, options.merges);
    const { pair: best } = found;
    const count = pairCounts.get(best) ?? 0;
    if (count !== found.count) {
      // It became rarer since it was queued; one that became more frequent was queued again then.
      if (count > 0 && count < found.count) queue.push(count, best);
      continue;
    }
    if (refused.has(best)) continue;
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
    const before = new Map<number, number>();
    for (const index of wordsOfPair.get(best) ?? []) {
      const weight = weights[index]!;
      const old = spelled[index]!;
      const next = mergePair(old, left, right, merged);
      spelled[index] = next;
      for (const pair of [...pairsOf(old), ...pairsOf(next)])
        if (!before.has(pair)) before.set(pair, pairCounts.get(pair) ?? 0);
      for (const pair of pairsOf(old)) change(pair, index, -weight);
      for (const pair of pairsOf(next)) change(pair, index, weight);
    }
    pairCounts.delete(best);
    wordsOfPair.delete(best);
    for (const [pair, was] of before) {
      const now = pairCounts.get(pair) ?? 0;
      if (now > was) queue.push(now, pair);
    }
  }
  const tokens = bytesOfToken.map((bytes) => [...bytes].map((byte) => byteCharacters[byte]!).join(""));
  return { tokens, merges: merges.map(([left, right]) => [tokens[left]!, tokens[right]!]) };
}

function tooFewMerges(found: number, wanted: number): UserError {
  return new UserError(
    `a vocabulary with ${wanted} merges was asked for, but after ${found} no pair of tokens occurs twice`,
    { next: `Ask for at least ${wanted - found} tokens fewer, or give more text.` },
  );
}

interface PairQueue {
  push(count: number, pair: number): void;
  /** The most frequent pair; of equals the one with the lower ids. */
  pop(): { readonly count: number; readonly pair: number } | undefined;
}

/** A binary heap in two parallel arrays: there are millions of entries. */
function pairQueue(): PairQueue {
  const counts: number[] = [];
  const pairs: number[] = [];
  const before = (a: number, b: number): boolean =>
    counts[a]! > counts[b]! || (counts[a] === counts[b] && pairs[a]! < pairs[b]!);
  const swap = (a: number, b: number): void => {
    [counts[a], counts[b]] = [counts[b]!, counts[a]!];
    [pairs[a], pairs[b]] = [pairs[b]!, pairs[a]!];
  };
  return {
    push: (count, pair) => {
      counts.push(count);
      pairs.push(pair);
      for (let at = counts.length - 1; at > 0;) {
        const parent = (at - 1) >> 1;
        if (!before(at, parent)) return;
        swap(at, parent);
        at = parent;
      }
    },
    pop: () => {
      if (counts.length === 0) return undefined;
      swap(0, counts.length - 1);
      const top = { count: counts.pop()!, pair: pairs.pop()! };
      for (let at = 0; ;) {
        const [left, right] = [2 * at + 1, 2 * at + 2];
        let first = at;
        if (left < counts.length && before(left, first)) first = left;
        if (right < counts.length && before(right, first)) first = right;
        if (first === at) return top;
        swap(at, first);
        at = first;
      }
    },
  };
}

function isAllowed(bytes: Buffer, options: EncodingOptions): boolean {
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
