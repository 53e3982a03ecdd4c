/**
 * Text as rules compare it: full width folded (NFKC), traditional characters simplified, zero-width
 * characters removed, lower case, spaces collapsed; with every offset traceable to the original.
 */
import { Converter } from "opencc-js/t2cn";

export interface NormaliseOptions {
  /** NFKC: full-width letters and digits, ligatures, composed accents. */
  readonly width: boolean;
  /** Traditional Chinese characters become simplified ones, character by character. */
  readonly simplified: boolean;
  /** Zero-width characters, soft hyphens and direction marks are removed. */
  readonly zeroWidth: boolean;
  readonly lowerCase: boolean;
  /** Runs of white space become one space, and none between two Chinese characters. */
  readonly spaces: boolean;
}

export const FULL_NORMALISATION: NormaliseOptions = {
  width: true,
  simplified: true,
  zeroWidth: true,
  lowerCase: true,
  spaces: true,
};

/** A view into the normaliser's buffer: valid until its next call. */
export interface NormalisedCodes {
  /** UTF-16 code units; only the first `length` count. */
  readonly codes: Uint16Array;
  readonly length: number;
}

/** As `NormalisedCodes`, and every code unit knows what made it. */
export interface TracedCodes extends NormalisedCodes {
  /** Offset in the original of the text that made code unit i. */
  originalStart(index: number): number;
  /** End (exclusive) in the original of the text that made code unit i. */
  originalEnd(index: number): number;
}

const DELETE = 0xffff;
const EXPAND = 0xfffe;
const SPACE = 0x20;

interface Table {
  /** Code unit → code unit, `DELETE`, or `EXPAND` (look in `expansions`). */
  readonly map: Uint16Array;
  readonly expansions: ReadonlyMap<number, string>;
  /** 1 for a mark that joins the character before it. */
  readonly joins: Uint8Array;
  /** Folded supplementary characters seen so far. */
  readonly points: Map<number, string>;
}

const tables = new Map<string, Table>();

/** Builds a normaliser with a buffer of its own. Its table is built at first use (about 0.2 s) and shared. */
export function normaliser(
  options: NormaliseOptions = FULL_NORMALISATION,
): (text: string) => NormalisedCodes {
  return newNormaliser(options, false);
}

/** As `normaliser`, at twice the cost, with offsets. */
export function tracingNormaliser(
  options: NormaliseOptions = FULL_NORMALISATION,
): (text: string) => TracedCodes {
  return newNormaliser(options, true);
}

function newNormaliser(options: NormaliseOptions, traced: boolean): (text: string) => TracedCodes {
  let table: Table | undefined;
  let codes = new Uint16Array(1_024);
  let starts = new Uint32Array(traced ? 1_024 : 0);
  let ends = new Uint32Array(traced ? 1_024 : 0);
  const { spaces } = options;
  const view = {
    codes,
    length: 0,
    originalStart: (index: number) => starts[index] ?? 0,
    originalEnd: (index: number) => ends[index] ?? 0,
  };

  return (text) => {
    table ??= tableFor(options);
    const { map, joins } = table;
    let length = 0;
    let last = 0;
    for (let i = 0; i < text.length;) {
      const code = text.charCodeAt(i);
      let next = i + 1;
      let single = map[code]!;
      let made = "";
      let count = 1;
      if (next < text.length) {
        const following = text.charCodeAt(next);
        const pair = (code & 0xfc00) === 0xd800 && (following & 0xfc00) === 0xdc00;
        if (pair) next += 1;
        if (following >= 0x300 && (pair || joins[following] === 1)) {
          while (next < text.length && next - i < 32 && joins[text.charCodeAt(next)] === 1) next += 1;
          made =
            pair && next - i === 2
              ? foldPoint(text.codePointAt(i)!, table, options)
              : fold(text.slice(i, next), options);
          count = made.length;
          single = EXPAND;
        }
      }
      if (single >= EXPAND) {
        if (single === DELETE) count = 0;
        else if (made === "" && count === 1) {
          made = table.expansions.get(code) ?? "";
          count = made.length;
        }
      }
      if (length + count > codes.length) {
        codes = grown(codes, new Uint16Array(Math.max(length + count, text.length + 64, codes.length * 2)));
        if (traced) {
          starts = grown(starts, new Uint32Array(codes.length));
          ends = grown(ends, new Uint32Array(codes.length));
        }
      }
      for (let k = 0; k < count; k++) {
        const out = made === "" ? single : made.charCodeAt(k);
        if (spaces) {
          if (out === SPACE && (length === 0 || last === SPACE)) continue;
          // "傻 逼" is written to be read as one word; a space never separates Chinese words.
          if (last === SPACE && length > 1 && isHan(out) && isHan(codes[length - 2]!)) length -= 1;
        }
        codes[length] = out;
        if (traced) {
          starts[length] = i;
          ends[length] = next;
        }
        length += 1;
        last = out;
      }
      i = next;
    }
    if (spaces && length > 0 && last === SPACE) length -= 1;
    view.codes = codes;
    view.length = length;
    return view;
  };
}

function grown<A extends Uint16Array | Uint32Array>(from: A, into: A): A {
  into.set(from);
  return into;
}

export function codesToText(codes: Uint16Array, length: number): string {
  return Buffer.from(codes.buffer, codes.byteOffset, length * 2).toString("utf16le");
}

/** Han ideographs of the basic plane. */
export function isHan(code: number): boolean {
  return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf);
}

function foldPoint(point: number, table: Table, options: NormaliseOptions): string {
  let made = table.points.get(point);
  if (made === undefined) {
    made = fold(String.fromCodePoint(point), options);
    if (table.points.size < 4_096) table.points.set(point, made);
  }
  return made;
}

/** The slow way, exact for any text. */
function fold(text: string, options: NormaliseOptions): string {
  let made = text;
  if (options.width) made = made.normalize("NFKC");
  if (options.lowerCase) made = made.toLowerCase();
  if (options.zeroWidth) made = made.replace(ZERO_WIDTH, "");
  if (options.simplified)
    made = [...made].map((character) => simplify().get(character) ?? character).join("");
  return made;
}

const ZERO_WIDTH =
  /[\u00AD\u061C\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF]|[\u{FE00}-\u{FE0F}]/gu;
const MARK = /\p{M}|[\u{FF9E}\u{FF9F}]/u;
const WHITE = /\s/u;

function tableFor(options: NormaliseOptions): Table {
  const key = JSON.stringify([
    options.width,
    options.simplified,
    options.zeroWidth,
    options.lowerCase,
    options.spaces,
  ]);
  let table = tables.get(key);
  if (table === undefined) tables.set(key, (table = buildTable(options)));
  return table;
}

function buildTable(options: NormaliseOptions): Table {
  const map = new Uint16Array(65_536);
  const joins = new Uint8Array(65_536);
  const expansions = new Map<number, string>();
  for (let code = 0; code < 65_536; code++) {
    map[code] = code;
    // Lone surrogates stand for themselves; 0xFFFE and 0xFFFF are not characters.
    if ((code >= 0xd800 && code <= 0xdfff) || code >= EXPAND) {
      if (code >= EXPAND) map[code] = DELETE;
      continue;
    }
    if (code < 0x80) {
      if (options.lowerCase && code >= 0x41 && code <= 0x5a) map[code] = code + 32;
      if (options.spaces && (code === 0x20 || (code >= 0x09 && code <= 0x0d))) map[code] = SPACE;
      continue;
    }
    const character = String.fromCharCode(code);
    if (options.spaces && WHITE.test(character) && code !== 0xfeff) {
      map[code] = SPACE;
      continue;
    }
    // Marks join only where the joined form can differ from its parts.
    if (options.width && MARK.test(character)) joins[code] = code >= 0xfe00 && code <= 0xfe0f ? 0 : 1;
    const made = fold(character, options);
    if (made.length === 0) map[code] = DELETE;
    else if (made.length === 1 && made.charCodeAt(0) < EXPAND) map[code] = made.charCodeAt(0);
    else {
      map[code] = EXPAND;
      expansions.set(code, made);
    }
  }
  return { map, expansions, joins, points: new Map() };
}

let simplified: ReadonlyMap<string, string> | undefined;

/** Traditional → simplified for single characters, asked of OpenCC once. */
function simplify(): ReadonlyMap<string, string> {
  if (simplified !== undefined) return simplified;
  const characters: string[] = [];
  for (let code = 0x3400; code <= 0x9fff; code++) characters.push(String.fromCharCode(code));
  // One per line, so that no phrase rule of OpenCC can see two of them together.
  const converted = Converter({ from: "t", to: "cn" })(characters.join("\n")).split("\n");
  const map = new Map<string, string>();
  characters.forEach((character, index) => {
    const made = converted[index];
    if (made !== undefined && made !== character && made.length === 1) map.set(character, made);
  });
  simplified = map;
  return map;
}
