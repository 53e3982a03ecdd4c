/** How many words a text has, as `Intl.Segmenter` counts them, with a fast path for Latin text. */

/** Counting stops here: no limit is that high, and a row may hold 10 MB. */
export const MAX_COUNT = 100_000;

const OTHER = 0;
const LETTER = 1;
const DIGIT = 2;
const UNDERSCORE = 3;
/** Joins letters. */
const MID_LETTER = 4;
/** Joins digits. */
const MID_NUMBER = 5;
/** Joins letters, and joins digits. */
const MID_BOTH = 6;
/** Not handled here. */
const FOREIGN = 7;

let classes: Uint8Array | undefined;

/** Word-break classes of the code units that the fast path knows. Source: Unicode Standard Annex 29. */
function wordBreakClasses(): Uint8Array {
  if (classes !== undefined) return classes;
  const table = new Uint8Array(65_536).fill(FOREIGN);
  table.fill(OTHER, 0, 0x80);
  // A line break pair and the next-line sign follow rules of their own but never make a word.
  for (const [from, to] of [
    ["a", "z"],
    ["A", "Z"],
    ["À", "Ö"],
    ["Ø", "ö"],
    ["ø", "ÿ"],
  ] as const) {
    table.fill(LETTER, from.charCodeAt(0), to.charCodeAt(0) + 1);
  }
  table.fill(DIGIT, 0x30, 0x3a);
  table[0x5f] = UNDERSCORE;
  // Whether a colon joins letters changed between editions of the annex: ask the engine at hand.
  table[0x3a] = countBySegmenter("a:b") === 1 ? MID_LETTER : OTHER;
  for (const sign of ",;") table[sign.charCodeAt(0)] = MID_NUMBER;
  for (const sign of ".'\u2018\u2019") table[sign.charCodeAt(0)] = MID_BOTH;
  for (const sign of "\u00A0¡¢£¤¥¦§©«¬®°±²³´¶¸¹»¼½¾¿×÷\u201C\u201D\u2013\u2014\u2026\u2022€™") {
    table[sign.charCodeAt(0)] =
      countBySegmenter(sign) === 0 && countBySegmenter(`a${sign}b`) === 2 ? OTHER : FOREIGN;
  }
  classes = table;
  return table;
}

/** Words of `text`: segments that hold a letter, a digit or an ideograph. At most `MAX_COUNT`. */
export function countWords(text: string): number {
  const table = wordBreakClasses();
  let count = 0;
  /** Class of the last letter, digit or underscore of the segment that is open, or OTHER. */
  let open = OTHER;
  let counted = false;
  for (let i = 0; i < text.length; i++) {
    const kind = table[text.charCodeAt(i)]!;
    if (kind === FOREIGN) return countBySegmenter(text);
    if (kind === LETTER || kind === DIGIT || kind === UNDERSCORE) {
      if (open === OTHER) counted = false;
      // The engine takes one underscore for a sign and two for a word.
      if (!counted && (kind !== UNDERSCORE || open === UNDERSCORE)) {
        counted = true;
        count += 1;
      }
      open = kind;
      continue;
    }
    if (open !== OTHER && kind !== OTHER && i + 1 < text.length) {
      const next = table[text.charCodeAt(i + 1)]!;
      const joinsLetters = kind !== MID_NUMBER && open === LETTER && next === LETTER;
      const joinsDigits = kind !== MID_LETTER && open === DIGIT && next === DIGIT;
      if (joinsLetters || joinsDigits) continue;
    }
    open = OTHER;
  }
  return Math.min(count, MAX_COUNT);
}

const segmenters = new Map<string, Intl.Segmenter>();

function segmenter(locale: string): Intl.Segmenter {
  let made = segmenters.get(locale);
  if (made === undefined)
    segmenters.set(locale, (made = new Intl.Segmenter(locale, { granularity: "word" })));
  return made;
}

/**
 * The engine's own count, and what `countWords` must equal. The engine takes time that grows with the square of
 * the text (8,000 characters: 0.4 s), so the text is given to it in pieces, cut where a word ends for certain.
 */
export function countBySegmenter(text: string): number {
  const locale = /[\u3040-\u30FF]/.test(text) ? "ja" : /\p{Script=Han}/u.test(text) ? "zh" : "en";
  const engine = segmenter(locale);
  let count = 0;
  for (let start = 0; start < text.length && count < MAX_COUNT;) {
    const end = pieceEnd(text, start);
    for (const segment of engine.segment(
      start === 0 && end === text.length ? text : text.slice(start, end),
    )) {
      if (segment.isWordLike === true) count += 1;
    }
    start = end;
  }
  return Math.min(count, MAX_COUNT);
}

const PIECE = 32;
/** A text without a space or a stop is cut here all the same; a word may then count twice. */
const LONGEST_PIECE = 480;

function pieceEnd(text: string, start: number): number {
  const last = Math.min(text.length, start + LONGEST_PIECE);
  for (let i = start + PIECE; i < last; i++) {
    if (SAFE_STOP.test(text.charAt(i - 1)) && PLAIN_START.test(text.charAt(i))) return i;
  }
  return last;
}

const SAFE_STOP = /[ \n。！？、，]/;
/** Not a digit, which a comma may join, and not a mark, which joins what is before it. */
const PLAIN_START = /[A-Za-z\u4E00-\u9FFF]/;
