/** The word automaton against a plain search. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Word, isLetter, wordMatcher } from "./word-matcher.ts";

const codesOf = (text: string): Uint16Array => Uint16Array.from(text, (character) => character.charCodeAt(0));
const word = (text: string, extra: Partial<Word> = {}): Word => ({
  codes: codesOf(text),
  prefix: false,
  exception: false,
  ...extra,
});
const find = (words: readonly Word[], text: string): string[] =>
  wordMatcher(words)
    .find(codesOf(text), text.length)
    .map(({ start, end }) => text.slice(start, end));

describe("word matcher", () => {
  it("knows the borders of Latin words and none in Chinese", () => {
    const words = [word("ass"), word("混蛋"), word("scam", { prefix: true })];
    expect(find(words, "first class assets pass")).toEqual([]);
    expect(find(words, "kiss my ass, 你这混蛋吗 scammers")).toEqual(["ass", "混蛋", "scammers".slice(0, 4)]);
    expect(find(words, "混蛋ass")).toEqual(["混蛋", "ass"]);
  });

  it("takes the longest of overlapping words", () => {
    expect(find([word("shut"), word("shut up"), word("up")], "shut up now")).toEqual(["shut up"]);
  });

  it("hides what lies in an exception and only that", () => {
    const words = [word("垃圾"), word("垃圾桶", { exception: true })];
    expect(find(words, "垃圾桶在哪，垃圾公司")).toEqual(["垃圾"]);
  });

  it("finds what a plain search finds", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "中"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(letters, { minLength: 1, maxLength: 6 }),
        fc.string({ unit: fc.constantFrom("a", "b", "中", " "), maxLength: 30 }),
        (list, text) => {
          const finds = wordMatcher(list.map((entry) => word(entry))).find(codesOf(text), text.length);
          const expected = new Set<number>();
          for (const entry of list) {
            for (let at = text.indexOf(entry); at >= 0; at = text.indexOf(entry, at + 1)) {
              const [before, after] = [text.charCodeAt(at - 1), text.charCodeAt(at + entry.length)];
              const left = isLetter(entry.charCodeAt(0)) && isLetter(before);
              const right = isLetter(entry.charCodeAt(entry.length - 1)) && isLetter(after);
              if (!left && !right) for (let i = at; i < at + entry.length; i++) expected.add(i);
            }
          }
          // Overlaps are resolved, so each find is a true one, and where there is a true one there is a find.
          for (const { start, end } of finds)
            for (let i = start; i < end; i++) expect(expected.has(i)).toBe(true);
          expect(finds.length > 0).toBe(expected.size > 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});
