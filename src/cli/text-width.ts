/** How wide text stands on a terminal, where Chinese characters and emoji take two columns; wrapping and columns by it. */
import { stripVTControlCharacters } from "node:util";

const zero = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
];

function isWide(point: number): boolean {
  return wideRanges.some(([first, last]) => point >= first && point <= last);
}

/** Columns of `text`, styles not counted. Source of the ranges: Unicode's East Asian Width W and F. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    if (!zero.test(character)) width += isWide(character.codePointAt(0)!) ? 2 : 1;
  }
  return width;
}

/** `text` filled with blanks to `width` columns. */
export function padTo(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

/** Styled `text` cut to `width` columns, an ellipsis at its end when something went. */
export function fitTo(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = "";
  let used = 0;
  // Styles are kept whole and cost nothing.
  // eslint-disable-next-line no-control-regex
  for (const piece of text.match(/\u001B\[[0-9;]*m|./gsu) ?? []) {
    const columns = displayWidth(piece);
    if (columns > 0 && used + columns > width - 1) break;
    kept += piece;
    used += columns;
  }
  return `${kept}…${text.includes("\u001B[") ? "\u001B[0m" : ""}`;
}

/** Lines of at most `width` columns: broken at blanks, between Chinese characters, or inside a word that is too long. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const piece of paragraph.match(/\s+|[\u2E80-\uFFEF]|[^\s\u2E80-\uFFEF]+/gu) ?? []) {
      for (const part of breakWord(piece, width)) {
        if (displayWidth(line) + displayWidth(part) <= width) line += part;
        else {
          lines.push(line.trimEnd());
          line = part.trimStart();
        }
      }
    }
    lines.push(line.trimEnd());
  }
  return lines;
}

function breakWord(word: string, width: number): string[] {
  if (displayWidth(word) <= width) return [word];
  const parts: string[] = [];
  let part = "";
  for (const character of word) {
    if (displayWidth(part) + displayWidth(character) > width) {
      parts.push(part);
      part = "";
    }
    part += character;
  }
  return part === "" ? parts : [...parts, part];
}

/** Two texts beside one another, `width` columns in all. */
export function sideBySide(left: string, right: string, width: number): string[] {
  const column = Math.max(10, Math.floor((width - 3) / 2));
  const [lefts, rights] = [wrap(left, column), wrap(right, column)];
  return Array.from({ length: Math.max(lefts.length, rights.length) }, (_, i) =>
    `${padTo(lefts[i] ?? "", column)} │ ${rights[i] ?? ""}`.trimEnd(),
  );
}
