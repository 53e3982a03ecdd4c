/** Marks special-token strings inside message contents, so that they are still known as contents after rendering. */
import { UserError } from "../../util/index.ts";
import type { Span } from "./added-tokens.ts";

export interface Marker {
  /** `content` with a mark behind every character of a special-token string in it. */
  mark(content: string): string;
  /** Rendered text without the marks, what they protected, and `cuts` (ascending offsets) moved along. */
  unmark(marked: string, cuts: readonly number[]): UnmarkedText;
  /** The offset into `marked`, from `from` on, behind the first `characters` characters of text. */
  offsetOf(marked: string, from: number, characters: number): number;
}

export interface UnmarkedText {
  readonly text: string;
  /** Stretches that are user's text, never special tokens. */
  readonly plain: readonly Span[];
  readonly cuts: readonly number[];
}

/** Noncharacters: no text in use holds them, and no template looks for them. */
const candidates = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/** Matches any of the special-token texts; `undefined` where there is none. */
export function specialPattern(specialTexts: readonly string[]): RegExp | undefined {
  // Longest first: a token found inside another one is inside its marks as well.
  const found = specialTexts.toSorted((a, b) => b.length - a.length).map(escapeForPattern);
  return found.length === 0 ? undefined : new RegExp(found.join("|"), "gu");
}

/** `texts` are all contents and whatever else the rendering holds: the mark is a character that none of them has. */
export function marker(specials: RegExp | undefined, texts: readonly string[]): Marker {
  const sign = candidates.find((candidate) => !texts.some((text) => text.includes(candidate)));
  if (sign === undefined) {
    throw new UserError("a message holds all 32 Unicode noncharacters U+FDD0–U+FDEF: it is no text", {
      next: "Remove this message.",
    });
  }
  return {
    mark: (content) => {
      if (specials === undefined) return content;
      return content.replace(specials, (text) => Array.from(text, (character) => character + sign).join(""));
    },
    offsetOf: (marked, from, characters) => {
      let at = from;
      for (let left = characters; left > 0; at++) if (marked[at] !== sign) left -= 1;
      return at;
    },
    unmark: (marked, cuts) => {
      if (!marked.includes(sign)) return { text: marked, plain: [], cuts };
      const plain: Span[] = [];
      const moved: number[] = [];
      let text = "";
      let from = 0;
      const passCuts = (position: number): void => {
        while (moved.length < cuts.length && cuts[moved.length]! <= position) {
          moved.push(text.length + cuts[moved.length]! - from);
        }
      };
      for (let at = marked.indexOf(sign); at >= 0; at = marked.indexOf(sign, from)) {
        passCuts(at);
        text += marked.slice(from, at);
        plain.push({ start: text.length - 1, end: text.length });
        from = at + sign.length;
      }
      passCuts(marked.length);
      return { text: text + marked.slice(from), plain, cuts: moved };
    },
  };
}

function escapeForPattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
