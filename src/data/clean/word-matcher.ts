/** Finds any of many words in one pass over a text (Aho and Corasick, 1975): cost does not grow with the list. */

export interface Word {
  /** Already normalised, as code units. */
  readonly codes: Uint16Array;
  /** The match may go on into a longer Latin word ("scam*" finds "scammers"). */
  readonly prefix: boolean;
  /** Not a find: hides every find that lies inside it ("垃圾桶" hides "垃圾"). */
  readonly exception: boolean;
}

export interface WordFind {
  readonly word: number;
  /** Half-open range of code units of the searched text. */
  readonly start: number;
  readonly end: number;
}

export interface WordMatcher {
  /** Finds, longest first where they overlap, in the order of the text. */
  find(codes: Uint16Array, length: number): readonly WordFind[];
}

const NONE: readonly WordFind[] = [];

export function wordMatcher(words: readonly Word[]): WordMatcher {
  const machine = buildMachine(words);
  const { rootNext, first, edgeCode, edgeTo, fail, output, outputLink } = machine;

  const step = (state: number, code: number): number => {
    let at = state;
    while (at !== 0) {
      let low = first[at]!;
      let high = first[at + 1]! - 1;
      while (low <= high) {
        const middle = (low + high) >> 1;
        const found = edgeCode[middle]!;
        if (found === code) return edgeTo[middle]!;
        if (found < code) low = middle + 1;
        else high = middle - 1;
      }
      at = fail[at]!;
    }
    return rootNext[code]!;
  };

  return {
    find(codes, length) {
      let finds: WordFind[] | undefined;
      let state = 0;
      for (let i = 0; i < length; i++) {
        state = state === 0 ? rootNext[codes[i]!]! : step(state, codes[i]!);
        if (state === 0) continue;
        for (let at = output[state]! >= 0 ? state : outputLink[state]!; at > 0; at = outputLink[at]!) {
          const index = output[at]!;
          const word = words[index]!;
          const start = i + 1 - word.codes.length;
          if (atBoundaries(codes, length, start, i + 1, word))
            (finds ??= []).push({ word: index, start, end: i + 1 });
        }
      }
      return finds === undefined ? NONE : resolve(finds, words);
    },
  };
}

/** Keeps the longest of overlapping finds and drops what an exception covers. */
function resolve(finds: readonly WordFind[], words: readonly Word[]): readonly WordFind[] {
  const longestFirst = [...finds].sort(
    (a, b) =>
      a.start - b.start ||
      b.end - a.end ||
      Number(words[b.word]!.exception) - Number(words[a.word]!.exception),
  );
  const exceptions = longestFirst.filter((find) => words[find.word]!.exception);
  const kept: WordFind[] = [];
  let end = -1;
  let exception = 0;
  let covered = -1;
  for (const find of longestFirst) {
    if (words[find.word]!.exception) continue;
    while (exception < exceptions.length && exceptions[exception]!.start <= find.start) {
      covered = Math.max(covered, exceptions[exception]!.end);
      exception += 1;
    }
    if (find.end <= covered || find.start < end) continue;
    kept.push(find);
    end = find.end;
  }
  return kept;
}

/** Latin words end where letters end; Chinese has no such borders and matches by text. */
function atBoundaries(codes: Uint16Array, length: number, start: number, end: number, word: Word): boolean {
  if (start > 0 && isLetter(codes[start]!) && isLetter(codes[start - 1]!)) return false;
  if (word.prefix || end >= length) return true;
  return !(isLetter(codes[end - 1]!) && isLetter(codes[end]!));
}

/** Letters and digits of scripts that write spaces between words. */
export function isLetter(code: number): boolean {
  if (code < 0x80)
    return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a);
  return code < 0x0e00 && code >= 0xc0 && code !== 0xd7 && code !== 0xf7;
}

interface Machine {
  readonly rootNext: Int32Array;
  /** Edges of state s are first[s] … first[s + 1], sorted by code. */
  readonly first: Int32Array;
  readonly edgeCode: Uint16Array;
  readonly edgeTo: Int32Array;
  readonly fail: Int32Array;
  /** Word that ends in this state, or -1. */
  readonly output: Int32Array;
  /** Nearest state on the chain of failures where a word ends, or 0. */
  readonly outputLink: Int32Array;
}

function buildMachine(words: readonly Word[]): Machine {
  const children: Map<number, number>[] = [new Map()];
  const outputs: number[] = [-1];
  words.forEach((word, index) => {
    if (word.codes.length === 0) return;
    let state = 0;
    for (const code of word.codes) {
      let next = children[state]!.get(code);
      if (next === undefined) {
        next = children.length;
        children.push(new Map());
        outputs.push(-1);
        children[state]!.set(code, next);
      }
      state = next;
    }
    if (outputs[state] === -1) outputs[state] = index;
  });

  const states = children.length;
  const fail = new Int32Array(states);
  const outputLink = new Int32Array(states);
  const order: number[] = [...children[0]!.values()];
  for (let head = 0; head < order.length; head++) {
    const state = order[head]!;
    const back = fail[state]!;
    outputLink[state] = outputs[back]! >= 0 ? back : outputLink[back]!;
    for (const [code, next] of children[state]!) {
      let at = back;
      while (at !== 0 && !children[at]!.has(code)) at = fail[at]!;
      fail[next] = children[at]!.get(code) ?? 0;
      order.push(next);
    }
  }

  const rootNext = new Int32Array(65_536);
  for (const [code, next] of children[0]!) rootNext[code] = next;
  const first = new Int32Array(states + 1);
  const edgeCode = new Uint16Array(states);
  const edgeTo = new Int32Array(states);
  let edge = 0;
  children.forEach((edges, state) => {
    first[state] = edge;
    for (const [code, next] of [...edges].sort((a, b) => a[0] - b[0])) {
      edgeCode[edge] = code;
      edgeTo[edge] = next;
      edge += 1;
    }
  });
  first[states] = edge;
  return { rootNext, first, edgeCode, edgeTo, fail, output: Int32Array.from(outputs), outputLink };
}
