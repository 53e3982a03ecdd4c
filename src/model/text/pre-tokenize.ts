/** How a tokenizer cuts text into the words that byte-pair encoding then works on one by one. */
import { type PreTokenizerConfig, type SplitBehavior, compilePattern } from "./tokenizer-json.ts";

/** Where a piece of text stands; the leading-space rules ask. */
export interface PiecePlace {
  /** The piece opens a section: the whole text, or what follows an added token. */
  readonly opensSection: boolean;
  /** The piece opens the whole text. */
  readonly opensText: boolean;
}

export type PreTokenizer = (pieces: readonly string[], place: PiecePlace) => readonly string[];

/** GPT-2's words, with Unicode's White_Space where JavaScript's `\s` differs from it (U+FEFF, U+0085). */
const gpt2Words =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

export const space = "\u2581";

const builders: {
  readonly [T in PreTokenizerConfig["type"]]: (
    config: Extract<PreTokenizerConfig, { readonly type: T }>,
  ) => PreTokenizer;
} = {
  // It also spells words in the byte alphabet; that is left to the cached encoding of each word.
  ByteLevel: ({ add_prefix_space: prefix, use_regex: useWords }) => {
    if (!prefix && !useWords) return (pieces) => pieces;
    return (pieces) =>
      pieces.flatMap((piece) => {
        const text = prefix && !piece.startsWith(" ") ? ` ${piece}` : piece;
        return useWords ? (text.match(gpt2Words) ?? []) : [text];
      });
  },
  Digits: ({ individual_digits: single }) => {
    const pattern = single ? /\p{N}/gu : /\p{N}+/gu;
    return (pieces) => pieces.flatMap((piece) => split(piece, pattern, "Isolated", false));
  },
  Split: ({ pattern, behavior, invert }) => {
    const expression = compilePattern(pattern);
    return (pieces) => pieces.flatMap((piece) => split(piece, expression, behavior, invert));
  },
  Metaspace: ({ replacement, prepend_scheme: scheme, split: cut }) => {
    const words = new RegExp(`${replacement}[^${replacement}]*|[^${replacement}]+`, "gu");
    return (pieces, place) =>
      pieces.flatMap((piece, index) => {
        let text = piece.replaceAll(" ", replacement);
        const opens = scheme === "first" ? place.opensText && index === 0 : place.opensSection && index === 0;
        if (scheme !== "never" && opens && !text.startsWith(replacement)) text = replacement + text;
        return cut ? (text.match(words) ?? []) : [text];
      });
  },
  Sequence: ({ pretokenizers }) => {
    const steps = pretokenizers.map(preTokenizer);
    return (pieces, place) => steps.reduce((result, step) => step(result, place), pieces);
  },
};

export function preTokenizer(config: PreTokenizerConfig): PreTokenizer {
  return (builders[config.type] as (config: PreTokenizerConfig) => PreTokenizer)(config);
}

/** Whether the words go through the byte alphabet. */
export function isByteLevel(config: PreTokenizerConfig | null): boolean {
  if (config?.type === "Sequence") return config.pretokenizers.some(isByteLevel);
  return config?.type === "ByteLevel";
}

/** Cuts `text` at the matches of `pattern`; `invert` makes the gaps the matches. */
export function split(text: string, pattern: RegExp, behavior: SplitBehavior, invert: boolean): string[] {
  const parts: { text: string; isMatch: boolean }[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === "") continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index), isMatch: invert });
    parts.push({ text: match[0], isMatch: !invert });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), isMatch: invert });
  return joinParts[behavior](parts);
}

type Parts = readonly { readonly text: string; readonly isMatch: boolean }[];

/** What happens to the text that a split matched, by Hugging Face's names. */
const joinParts: { readonly [B in SplitBehavior]: (parts: Parts) => string[] } = {
  Isolated: (parts) => parts.map((part) => part.text),
  Removed: (parts) => parts.filter((part) => !part.isMatch).map((part) => part.text),
  Contiguous: (parts) => joinWhen(parts, (part, previous) => part.isMatch === previous.isMatch),
  MergedWithPrevious: (parts) => joinWhen(parts, (part, previous) => part.isMatch && !previous.isMatch),
  MergedWithNext: (parts) => joinWhen(parts, (part, previous) => !part.isMatch && previous.isMatch),
};

function joinWhen(parts: Parts, joins: (part: Parts[number], previous: Parts[number]) => boolean): string[] {
  const joined: string[] = [];
  for (const [index, part] of parts.entries()) {
    if (index > 0 && joins(part, parts[index - 1]!)) joined.push(joined.pop()! + part.text);
    else joined.push(part.text);
  }
  return joined;
}
