/** Byte-pair encoding: a word's symbols merged in the order of their ranks, with a cache of words seen. */
import { UserError, excerpt } from "../../util/index.ts";

export interface BpeDefinition {
  /** Token text → id. Byte-level vocabularies spell bytes in the alphabet of `byte-alphabet.ts`. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Best first: the index is the rank. */
  readonly merges: Iterable<readonly [left: string, right: string]>;
  /** What a symbol outside the vocabulary becomes; without it such a symbol is dropped, as Hugging Face does. */
  readonly unknownId?: number;
  /** One unknown token for a run of unknown symbols. */
  readonly fuseUnknown: boolean;
  /** Spell a symbol outside the vocabulary as the tokens `<0x00>`…`<0xFF>` of its UTF-8 bytes. */
  readonly byteFallback: boolean;
  /** A word that is a token as it stands is not merged step by step. */
  readonly ignoreMerges: boolean;
  /** How the vocabulary spells a word; absent means as it stands. */
  readonly spelling?: (word: string) => string;
}

export interface Bpe {
  /** Appends the ids of one word (a piece the pre-tokenizer cut) to `into`. */
  encodeWord(word: string, into: number[]): void;
  /** Whether some merge joins text before the character with text that starts with it. */
  mergesAcross(character: string): boolean;
}

const cachedWordLength = 64;
const cachedWords = 60_000;
/** Below this many symbols a plain scan beats a heap. */
const scanLimit = 40;

/** Source: Sennrich et al. 2016; ties and unknown symbols as in Hugging Face's tokenizers. */
export function bpe(definition: BpeDefinition): Bpe {
  const { vocabulary, unknownId } = definition;
  const merges = mergeTable(definition);
  const byteIds = definition.byteFallback ? byteTokenIds(vocabulary) : undefined;
  const cache = new Map<string, readonly number[]>();

  const symbolsOf = (word: string): number[] => {
    const symbols: number[] = [];
    let afterUnknown = false;
    for (const character of word) {
      const id = vocabulary.get(character);
      if (id !== undefined) {
        symbols.push(id);
        afterUnknown = false;
        continue;
      }
      const bytes = byteIds === undefined ? undefined : fallback(character, byteIds);
      if (bytes !== undefined) {
        symbols.push(...bytes);
        afterUnknown = false;
      } else if (unknownId !== undefined) {
        if (!(afterUnknown && definition.fuseUnknown)) symbols.push(unknownId);
        afterUnknown = true;
      }
    }
    return symbols;
  };

  const mergedWord = (text: string): readonly number[] => {
    const word = definition.spelling?.(text) ?? text;
    if (definition.ignoreMerges) {
      const whole = vocabulary.get(word);
      if (whole !== undefined) return [whole];
    }
    const symbols = symbolsOf(word);
    return symbols.length <= scanLimit ? mergeByScan(symbols, merges) : mergeByHeap(symbols, merges);
  };

  return {
    encodeWord: (word, into) => {
      let ids = cache.get(word);
      if (ids === undefined) {
        ids = mergedWord(word);
        if (word.length <= cachedWordLength) {
          if (cache.size >= cachedWords) cache.clear();
          cache.set(word, ids);
        }
      }
      for (const id of ids) into.push(id);
    },
    mergesAcross: (character) => {
      for (const [left, right] of definition.merges) {
        if (right.startsWith(character) && !left.endsWith(character)) return true;
      }
      return false;
    },
  };
}

/** (left id, right id) → rank, in open addressing: the inner loop of everything here. */
interface MergeTable {
  /** The rank of a pair, or -1. */
  rank(left: number, right: number): number;
  /** The id that the merge of this rank produces. */
  result(rank: number): number;
}

function mergeTable({ vocabulary, merges }: BpeDefinition): MergeTable {
  const pairs: number[] = [];
  const results: number[] = [];
  for (const [left, right] of merges) {
    const [a, b, joined] = [vocabulary.get(left), vocabulary.get(right), vocabulary.get(left + right)];
    if (a === undefined || b === undefined || joined === undefined) {
      throw new UserError(
        `tokenizer merge ${results.length + 1} joins "${excerpt(left, 20)}" and "${excerpt(right, 20)}", ` +
          `but ${a === undefined ? "the first" : b === undefined ? "the second" : "their result"} is not in the vocabulary`,
        { next: "The tokenizer file is damaged: fetch it again." },
      );
    }
    pairs.push(a, b);
    results.push(joined);
  }
  let bits = 4;
  while (1 << bits < results.length * 2) bits += 1;
  const mask = (1 << bits) - 1;
  const slots = new Int32Array(1 << bits).fill(-1);
  const keys = Int32Array.from(pairs);
  const ids = Int32Array.from(results);
  const hash = (a: number, b: number): number =>
    (Math.imul(Math.imul(a, 0x9e3779b1) ^ b, 0x85ebca6b) >>> (32 - bits)) & mask;
  const slotOf = (a: number, b: number): number => {
    let slot = hash(a, b);
    for (let rank = slots[slot]!; rank >= 0; rank = slots[slot]!) {
      if (keys[2 * rank] === a && keys[2 * rank + 1] === b) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  };
  // A pair listed twice keeps its last rank, as in Hugging Face's hash map.
  for (let rank = 0; rank < ids.length; rank++) {
    slots[slotOf(keys[2 * rank]!, keys[2 * rank + 1]!)] = rank;
  }
  return { rank: (left, right) => slots[slotOf(left, right)]!, result: (rank) => ids[rank]! };
}

function mergeByScan(symbols: number[], merges: MergeTable): readonly number[] {
  const ranks: number[] = [];
  for (let i = 0; i + 1 < symbols.length; i++) ranks.push(merges.rank(symbols[i]!, symbols[i + 1]!));
  for (;;) {
    let best = -1;
    for (let i = 0; i < ranks.length; i++) {
      if (ranks[i]! >= 0 && (best < 0 || ranks[i]! < ranks[best]!)) best = i;
    }
    if (best < 0) return symbols;
    symbols.splice(best, 2, merges.result(ranks[best]!));
    ranks.splice(best, 1);
    if (best > 0) ranks[best - 1] = merges.rank(symbols[best - 1]!, symbols[best]!);
    if (best < ranks.length) ranks[best] = merges.rank(symbols[best]!, symbols[best + 1]!);
  }
}

/** Heap keys hold rank and position in one number: the lowest rank, then the leftmost. */
const positions = 2 ** 28;

function mergeByHeap(symbols: readonly number[], merges: MergeTable): readonly number[] {
  const count = symbols.length;
  const ids = Int32Array.from(symbols);
  const next = Int32Array.from({ length: count }, (_, i) => (i + 1 < count ? i + 1 : -1));
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  const gone = new Uint8Array(count);
  const heap = minHeap();
  const offer = (at: number): void => {
    if (at < 0 || next[at]! < 0) return;
    const rank = merges.rank(ids[at]!, ids[next[at]!]!);
    if (rank >= 0) heap.push(rank * positions + at);
  };
  for (let i = 0; i + 1 < count; i++) offer(i);
  for (let key = heap.pop(); key !== undefined; key = heap.pop()) {
    const rank = Math.floor(key / positions);
    const at = key - rank * positions;
    const right = next[at]!;
    if (gone[at] === 1 || right < 0 || merges.rank(ids[at]!, ids[right]!) !== rank) continue;
    ids[at] = merges.result(rank);
    gone[right] = 1;
    next[at] = next[right]!;
    if (next[at]! >= 0) previous[next[at]!] = at;
    offer(previous[at]!);
    offer(at);
  }
  const merged: number[] = [];
  for (let i = 0; i >= 0 && i < count; i = next[i]!) merged.push(ids[i]!);
  return merged;
}

function minHeap(): { push(key: number): void; pop(): number | undefined } {
  const keys: number[] = [];
  return {
    push: (key) => {
      let child = keys.push(key) - 1;
      while (child > 0) {
        const parent = (child - 1) >> 1;
        if (keys[parent]! <= key) break;
        keys[child] = keys[parent]!;
        child = parent;
      }
      keys[child] = key;
    },
    pop: () => {
      const top = keys[0];
      const last = keys.pop();
      if (top === undefined || last === undefined || keys.length === 0) return top;
      let parent = 0;
      for (;;) {
        let child = 2 * parent + 1;
        if (child >= keys.length) break;
        if (child + 1 < keys.length && keys[child + 1]! < keys[child]!) child += 1;
        if (keys[child]! >= last) break;
        keys[parent] = keys[child]!;
        parent = child;
      }
      keys[parent] = last;
      return top;
    },
  };
}

function byteTokenIds(vocabulary: ReadonlyMap<string, number>): readonly (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) => vocabulary.get(byteToken(byte)));
}

/** The name SentencePiece gives a byte: 10 → `<0x0A>`. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function fallback(character: string, byteIds: readonly (number | undefined)[]): number[] | undefined {
  const ids: number[] = [];
  for (const byte of new TextEncoder().encode(character)) {
    const id = byteIds[byte];
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}
