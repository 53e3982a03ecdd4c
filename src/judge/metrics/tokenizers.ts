/** The tokenisers of sacreBLEU 2.x, character for character: 13a, zh, char, intl and none. */
import { splitWords, stripEnd, stripStart } from "./text.ts";

export type BleuTokenizer = "13a" | "zh" | "char" | "intl" | "none";

/** Splits one line into the tokens whose n-grams are counted; a table, so that a tokeniser without a rule does not compile. */
export const bleuTokenizers: { readonly [K in BleuTokenizer]: (line: string) => string[] } = {
  "13a": (line) => splitWestern(` ${unescapeMarkup(line)} `),
  zh: (line) => splitWestern(spaceChinese(stripStart(stripEnd(line)))),
  char: (line) => [...line].flatMap(splitWords),
  intl: (line) =>
    splitWords(
      line
        .replace(/(\P{N})(\p{P})/gu, "$1 $2 ")
        .replace(/(\p{P})(\P{N})/gu, " $1 $2")
        .replace(/(\p{S})/gu, " $1 "),
    ),
  none: splitWords,
};

function unescapeMarkup(line: string): string {
  const joined = line.replaceAll("<skipped>", "").replaceAll("-\n", "").replaceAll("\n", " ");
  if (!joined.includes("&")) return joined;
  return joined
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">");
}

/** mteval-v13a: ASCII symbols stand alone; a full stop or comma does too unless a digit stands on its other side. */
function splitWestern(line: string): string[] {
  return splitWords(
    line
      .replace(/([{-~[-` -&(-+:-@/])/gu, " $1 ")
      .replace(/([^0-9])([.,])/gu, "$1 $2 ")
      .replace(/([.,])([^0-9])/gu, " $1 $2")
      .replace(/([0-9])(-)/gu, "$1 $2 "),
  );
}

/**
 * The code points that sacreBLEU's `zh` sets apart. Two of its ranges are written with five hexadecimal digits where
 * Python reads four, so in effect they are U+2001–2A6D (general punctuation to mathematical operators) and
 * U+2F81–2FA1, and the ideographs beyond U+FFFF are not set apart. Kept, for equal figures.
 */
const chineseRanges: readonly (readonly [number, number])[] = [
  [0x3400, 0x4db5],
  [0x4e00, 0x9fa5],
  [0x9fa6, 0x9fbb],
  [0xf900, 0xfa2d],
  [0xfa30, 0xfa6a],
  [0xfa70, 0xfad9],
  [0x2001, 0x2a6d],
  [0x2f81, 0x2fa1],
  [0xff00, 0xffef],
  [0x2e80, 0x2eff],
  [0x3000, 0x303f],
  [0x31c0, 0x31ef],
  [0x2f00, 0x2fdf],
  [0x2ff0, 0x2fff],
  [0x3100, 0x312f],
  [0x31a0, 0x31bf],
  [0xfe10, 0xfe1f],
  [0xfe30, 0xfe4f],
  [0x2600, 0x26ff],
  [0x2700, 0x27bf],
  [0x3200, 0x32ff],
  [0x3300, 0x33ff],
];

function spaceChinese(line: string): string {
  let spaced = "";
  for (const character of line) {
    const point = character.codePointAt(0)!;
    const chinese = chineseRanges.some(([first, last]) => first <= point && point <= last);
    spaced += chinese ? ` ${character} ` : character;
  }
  return spaced;
}
