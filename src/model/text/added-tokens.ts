/** Finds added tokens (`<|im_end|>`, `<sep>`) in text: leftmost, longest, never inside text declared plain. */
import type { AddedToken } from "./tokenizer-json.ts";

/** Character offsets, end exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Offsets take in the white space that the token swallows. */
export interface FoundToken extends Span {
  readonly id: number;
}

export interface TokenFinder {
  /** In order of position. A special token that touches a `plain` span is text, not a token. */
  find(text: string, plain: readonly Span[] | "all"): readonly FoundToken[];
}

interface Node {
  readonly next: Map<number, Node>;
  token?: AddedToken;
}

const wordCharacter = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u;
const lastWordCharacter = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]$/u;
const whiteSpace = /\p{White_Space}/u;

/** `spelling` gives the text to look for, when it is not the token's own. */
export function tokenFinder(
  tokens: readonly AddedToken[],
  spelling: (token: AddedToken) => string = (token) => token.content,
): TokenFinder {
  const root: Node = { next: new Map() };
  const opens = new Uint8Array(0x10000);
  for (const token of tokens) {
    let node = root;
    const text = spelling(token);
    if (text === "") continue;
    opens[text.charCodeAt(0)] = 1;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      let child = node.next.get(code);
      if (child === undefined) node.next.set(code, (child = { next: new Map() }));
      node = child;
    }
    node.token ??= token;
  }

  const longestAt = (text: string, start: number): { token: AddedToken; end: number } | undefined => {
    let found: { token: AddedToken; end: number } | undefined;
    let node: Node | undefined = root;
    for (let end = start; end < text.length;) {
      node = node.next.get(text.charCodeAt(end));
      if (node === undefined) break;
      end += 1;
      if (node.token !== undefined) found = { token: node.token, end };
    }
    return found;
  };

  return {
    find: (text, plain) => {
      const found: FoundToken[] = [];
      if (tokens.length === 0) return found;
      let from = 0;
      let nextPlain = 0;
      for (let at = 0; at < text.length; at++) {
        if (opens[text.charCodeAt(at)] === 0) continue;
        const match = longestAt(text, at);
        if (match === undefined) continue;
        const { token, end } = match;
        if (token.special) {
          if (plain === "all") continue;
          while (nextPlain < plain.length && plain[nextPlain]!.end <= at) nextPlain += 1;
          if (nextPlain < plain.length && plain[nextPlain]!.start < end) continue;
        }
        if (token.single_word && (endsInWord(text, at) || startsInWord(text, end))) continue;
        const start = token.lstrip ? whiteSpaceBefore(text, at, from) : at;
        from = token.rstrip ? whiteSpaceAfter(text, end) : end;
        found.push({ id: token.id, start, end: from });
        at = from - 1;
      }
      return found;
    },
  };
}

function endsInWord(text: string, end: number): boolean {
  return end > 0 && lastWordCharacter.test(text.slice(Math.max(0, end - 2), end));
}

function startsInWord(text: string, start: number): boolean {
  return start < text.length && wordCharacter.test(String.fromCodePoint(text.codePointAt(start)!));
}

function whiteSpaceBefore(text: string, end: number, limit: number): number {
  let start = end;
  while (start > limit && whiteSpace.test(text[start - 1]!)) start -= 1;
  return start;
}

function whiteSpaceAfter(text: string, start: number): number {
  let end = start;
  while (end < text.length && whiteSpace.test(text[end]!)) end += 1;
  return end;
}
