/** Word counts against `Intl.Segmenter`; the three ways to deal with short and long replies. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleaner } from "./cleaner.ts";
import type { ReplyLengthDetails } from "./reply-length.ts";
import { dialogue, run } from "./rule.contract.ts";
import { countBySegmenter, countWords } from "./word-count.ts";

describe("word count", () => {
  it.each([
    ["Don't worry, it's 3.5 km; see example.com at 10:30.", 10],
    ["好的，明天下午三点见。", 6],
    ["", 0],
    ["… !!", 0],
  ])("%j has %i words", (text, words) => {
    expect(countWords(text)).toBe(words);
  });

  it("equals the segmenter's on any Latin text", () => {
    const sign = fc.constantFrom(..."ab1Z9 _.,:;'’‘\"-!?\n\r\t@#$%/\\é×“”–—…€²½ßÿ£©\u00A0");
    fc.assert(
      fc.property(fc.string({ unit: sign, maxLength: 16 }), (text) => {
        expect(countWords(text)).toBe(countBySegmenter(text));
      }),
      { numRuns: 3_000 },
    );
  });

  it("equals the segmenter's on mixed text, also where it is cut into pieces", () => {
    const engine = new Intl.Segmenter("zh", { granularity: "word" });
    const piece = fc.constantFrom(
      "您好",
      "订单",
      "的",
      "，",
      "。",
      "！",
      " ",
      "1",
      "，000",
      "ab",
      "é",
      "\u0301",
      "：",
      "\n",
      "中国人民银行",
      "👍",
      "\uD800",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const text = `您${pieces.join("")}`;
        const expected = [...engine.segment(text)].filter(({ isWordLike }) => isWordLike === true).length;
        expect(countWords(text)).toBe(expected);
      }),
      { numRuns: 400 },
    );
  });
});

it("a long text is counted as its sentences are, in time that grows with it", () => {
  const sentence = "您的订单已发货，预计明天送达，请注意查收。";
  const one = countBySegmenter(sentence);
  expect(countWords(sentence.repeat(500))).toBe(500 * one);
  expect(countWords(`${"Größe café naïve Ω, ".repeat(2_000)}`)).toBe(8_000);
  expect(countWords("长".repeat(20_000))).toBeGreaterThan(5_000);
});

const words = (count: number): string => Array.from({ length: count }, (_, i) => `w${i}`).join(" ");

describe("reply length", () => {
  const records = () => [
    dialogue("u: a", `a: ${words(10)}`, "u: b", "a: too short"),
    dialogue("u: a", "a: too short"),
    dialogue("u: a", "h: too short", "u: b", `a: ${words(200)}`),
    dialogue("u: a", `a: ${words(201)}`),
  ];

  it("keeps short replies as context by default", () => {
    const { shown, report } = run("replyLength", records());
    expect(shown[0]![3]).toBe("h: too short");
    expect(shown[1]).toBe("reply-length: the reply has 2 words and fewer than 10: too short");
    expect(shown[2]![3]).toBe(`a: ${words(200)}`);
    expect(shown[3]).toContain("the reply has 201 words and more than 200");
    expect(report).toMatchObject({
      rejected: 2,
      changed: 1,
      unsupervised: 1,
      reasons: { "too-short": 2, "too-long": 1 },
    });
    const details = report.details as ReplyLengthDetails;
    expect(details).toMatchObject({ unit: "words", tooShort: 2, tooLong: 1 });
    const filled = details.histogram.filter(({ replies }) => replies > 0);
    expect(filled).toEqual([
      { from: 2, to: 2, replies: 2 },
      { from: 10, to: 11, replies: 1 },
      { from: 200, to: 200, replies: 1 },
      { from: 201, to: 299, replies: 1 },
    ]);
  });

  it("rejects the record when told to", () => {
    const { whole } = run("replyLength", records(), { replyLength: { mode: "reject" } });
    expect(whole).toMatchObject({ kept: 1, rejected: 3 });
  });

  it("counts characters or tokens when told to", () => {
    const record = () => dialogue("u: a", "a: 您好 😀 ok");
    const config = { replyLength: { unit: "characters", min: 5, max: 5 } } as const;
    expect(run("replyLength", [record()], config).whole.kept).toBe(1);
    const tokens = { replyLength: { unit: "tokens", min: 7, max: 7 } } as const;
    expect(run("replyLength", [record()], tokens, { countTokens: () => 7 }).whole.kept).toBe(1);
    expect(() => cleaner(tokens)).toThrow("no model is given");
  });

  it("refuses a range that holds nothing", () => {
    expect(() => cleaner({ replyLength: { min: 5, max: 4 } })).toThrow("min is above");
  });
});
