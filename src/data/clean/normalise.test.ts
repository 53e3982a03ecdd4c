/** Normalisation for matching, and the way back to the original's offsets. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FULL_NORMALISATION, codesToText, normaliser, tracingNormaliser } from "./normalise.ts";

const normalise = normaliser();
const trace = tracingNormaliser();
const textOf = (text: string): string => {
  const { codes, length } = normalise(text);
  return codesToText(codes, length);
};

describe("normalise", () => {
  it.each([
    ["ＩＤＩＯＴ１２３", "idiot123", "full width"],
    ["廢物，滾蛋", "废物,滚蛋", "traditional"],
    ["i\u200Bdi\u00ADot\uFEFF", "idiot", "zero width"],
    ["傻　逼 客服", "傻逼客服", "space between Chinese characters"],
    ["  shut \n\t up ", "shut up", "spaces"],
    ["Cafe\u0301 CAFÉ", "café café", "composed accents"],
    ["ﬁne ㎡", "fine m2", "ligatures"],
    ["𝐒𝐜𝐚𝐦", "scam", "mathematical letters"],
    ["ｶﾞ", "ガ", "half-width kana with its mark"],
    ["", "", "nothing"],
  ])("%j becomes %j (%s)", (text, expected) => {
    expect(textOf(text)).toBe(expected);
  });

  it("leaves alone what is switched off", () => {
    const plain = normaliser({
      width: false,
      simplified: false,
      zeroWidth: false,
      lowerCase: false,
      spaces: false,
    });
    const text = "ＩＤ 廢\u200B  X";
    const { codes, length } = plain(text);
    expect(codesToText(codes, length)).toBe(text);
  });

  it("traces every code unit to a range of the original, in order", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
        const traced = trace(text);
        let last = 0;
        for (let i = 0; i < traced.length; i++) {
          const [start, end] = [traced.originalStart(i), traced.originalEnd(i)];
          if (start < last || end <= start || end > text.length) return false;
          last = start;
        }
        return true;
      }),
      { numRuns: 200 },
    );
  });

  it("is the same whether table or engine does it, for text without marks to join", () => {
    const options = { ...FULL_NORMALISATION, spaces: false, simplified: false, zeroWidth: false };
    const fast = normaliser(options);
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme-ascii", maxLength: 30 }),
        fc.constantFrom("é", "Ｗ", "㎡", "ﬁ", "中"),
        (a, b) => {
          const text = a + b;
          const { codes, length } = fast(text);
          expect(codesToText(codes, length)).toBe(text.normalize("NFKC").toLowerCase());
        },
      ),
    );
  });

  it("survives lone surrogates", () => {
    expect(textOf("a\uD800b\uDC00")).toBe("a\uD800b\uDC00");
  });
});
