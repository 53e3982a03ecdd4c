/** Texts as sets of hashed word pairs: what "nearly the same conversation" is measured on. */

/** Words a shingle spans, as in the cleaning rule. A message of one word is one shingle. */
export const SHINGLE_WORDS = 2;

const SEPARATOR = 0;
const WORD = 1;
/** A character that is a word by itself: Chinese, Japanese and Korean texts have no spaces to rely on. */
const IDEOGRAPH = 2;

let classes: Uint8Array | undefined;

/** Class of each UTF-16 unit; built on first use (65,536 tests, a few milliseconds). */
function characterClasses(): Uint8Array {
  if (classes !== undefined) return classes;
  const table = new Uint8Array(0x10000);
  const letterOrDigit = /[\p{L}\p{N}\p{M}]/u;
  const ideograph = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u;
  for (let unit = 0; unit < 0x10000; unit++) {
    // Halves of surrogate pairs stay together as words: emoji and rare ideographs count, as the pair they are.
    if (unit >= 0xd800 && unit < 0xe000) table[unit] = WORD;
    else if (ideograph.test(String.fromCharCode(unit))) table[unit] = IDEOGRAPH;
    else if (letterOrDigit.test(String.fromCharCode(unit))) table[unit] = WORD;
  }
  return (classes = table);
}

/** 32-bit finaliser of MurmurHash3 (Appleby, public domain): every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Lower-cased, compatibility-normalised words of a text, hashed to 32 bits each (FNV-1a), into `out`; punctuation
 * and spaces only separate. Returns how many words there are; `out` grows as needed.
 */
function hashWords(text: string, out: { words: Uint32Array }): number {
  const table = characterClasses();
  let normal = text.toLowerCase();
  for (let i = 0; i < normal.length; i++) {
    if (normal.charCodeAt(i) > 0x7f) {
      normal = normal.normalize("NFKC").toLowerCase();
      break;
    }
  }
  let count = 0;
  let hash = 0;
  let open = false;
  if (out.words.length <= normal.length) out.words = new Uint32Array(2 * normal.length + 64);
  const words = out.words;
  for (let i = 0; i < normal.length; i++) {
    const unit = normal.charCodeAt(i);
    const kind = table[unit]!;
    if (kind === WORD) {
      if (!open) hash = 0x811c9dc5;
      open = true;
      hash = Math.imul(hash ^ unit, 0x01000193);
      continue;
    }
    if (open) words[count++] = mix32(hash);
    open = false;
    if (kind === IDEOGRAPH) words[count++] = mix32(Math.imul(0x811c9dc5 ^ unit, 0x01000193));
    else if (kind !== SEPARATOR) throw new Error(`no such character class: ${kind}`);
  }
  if (open) words[count++] = mix32(hash);
  return count;
}

/**
 * Gathers one conversation message by message. Rows that repeat the history of their conversation may be added
 * one after another: a message that was added before changes nothing but the order.
 */
export class ConversationShingles {
  readonly #scratch = { words: new Uint32Array(1024) };
  readonly #messages = new Set<string>();
  #shingles = new Uint32Array(1024);
  #count = 0;

  reset(): void {
    this.#messages.clear();
    this.#count = 0;
  }

  add(text: string): void {
    if (this.#messages.has(text)) return;
    this.#messages.add(text);
    const words = hashWords(text, this.#scratch);
    if (words === 0) return;
    const values = this.#scratch.words;
    const last = Math.max(0, words - SHINGLE_WORDS);
    if (this.#count + last + 1 > this.#shingles.length) {
      const larger = new Uint32Array(2 * (this.#count + last + 1));
      larger.set(this.#shingles);
      this.#shingles = larger;
    }
    for (let start = 0; start <= last; start++) {
      let hash = 0x9e3779b9;
      const end = Math.min(words, start + SHINGLE_WORDS);
      for (let i = start; i < end; i++) hash = mix32(Math.imul(hash, 31) + values[i]!);
      this.#shingles[this.#count++] = hash;
    }
  }

  /** The distinct shingles so far, ascending; a copy. Empty where no message has a word. */
  set(): Uint32Array {
    const all = this.#shingles.subarray(0, this.#count).slice().sort();
    let distinct = 0;
    for (let i = 0; i < all.length; i++) {
      if (i === 0 || all[i] !== all[i - 1]) all[distinct++] = all[i]!;
    }
    return all.slice(0, distinct);
  }
}

const keyScratch = { words: new Uint32Array(1024) };

/**
 * A 53-bit key of a whole conversation: roles and words in order, without case, punctuation and spaces. Two
 * conversations with one key are the same (two different ones share a key with probability 1e-16 a pair).
 */
export function conversationKey(
  messages: readonly { readonly role: string; readonly content: string }[],
): number {
  let a = 0x243f6a88;
  let b = 0x85a308d3;
  for (const { role, content } of messages) {
    const words = hashWords(content, keyScratch);
    a = mix32(Math.imul(a, 31) + role.charCodeAt(0));
    b = mix32(Math.imul(b, 37) + words);
    for (let i = 0; i < words; i++) {
      a = mix32(Math.imul(a, 31) + keyScratch.words[i]!);
      b = (Math.imul(b, 0x01000193) ^ keyScratch.words[i]!) >>> 0;
    }
  }
  return (a & 0x1fffff) * 0x100000000 + mix32(b ^ a);
}
