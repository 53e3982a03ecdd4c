/** The trainer of byte-pair encodings: known merges, independence of order, and a tokenizer that reads what it learned from. */
import { describe, expect, it } from "vitest";
import { random } from "../../util/index.ts";
import { fromByteAlphabet } from "./byte-alphabet.ts";
import { tokenizerFromSources } from "./load-tokenizer.ts";
import { newTokenizer } from "./new-tokenizer.ts";
import { countWords, trainEncoding } from "./train-encoding.ts";

describe("the trainer", () => {
  it("learns the merges of the paper's example", () => {
    // Sennrich, Haddow and Birch 2016: low 5, lower 2, newest 6, widest 3 (without an end-of-word mark).
    const counts = new Map([
      ["low", 5],
      ["lower", 2],
      ["newest", 6],
      ["widest", 3],
    ]);
    const { merges } = trainEncoding(counts, { merges: 4, maxHanCharacters: 3, maxBytes: 20 });
    const pairs = merges.map((pair) => pair.join("+"));
    // e+s and s+t occur 9 times each: the lower ids go first.
    expect(pairs).toEqual(["e+s", "es+t", "l+o", "lo+w"]);
  });

  it("does not depend on the order in which words were counted", () => {
    const words: [string, number][] = [
      ["茶壶", 4],
      ["茶叶", 4],
      [" tea", 3],
      [" teapot", 3],
    ];
    const options = { merges: 6, maxHanCharacters: 3, maxBytes: 20 };
    expect(trainEncoding(new Map(words.toReversed()), options)).toEqual(
      trainEncoding(new Map(words), options),
    );
  });

  it("passes over tokens with too many Chinese characters", () => {
    const { tokens } = trainEncoding(new Map([["给您添麻烦了", 100]]), {
      merges: 14,
      maxHanCharacters: 3,
      maxBytes: 20,
    });
    for (const token of tokens) {
      const text = Buffer.from(fromByteAlphabet(token)!).toString("utf8");
      expect(text.match(/\p{Script=Han}/gu)?.length ?? 0).toBeLessThanOrEqual(3);
    }
  });

  it("splits digits one by one and keeps a word with its blank", () => {
    const counts = new Map<string, number>();
    countWords("It's order 123，您好。", 1, counts);
    expect([...counts.keys()]).toEqual(["It", "'s", " order", " ", "1", "2", "3", "，您好", "。"]);
  });

  it("learns what counting every pair anew at each merge learns", () => {
    const dice = random(5, "words");
    const counts = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const word = Array.from({ length: 1 + dice.integer(7) }, () => dice.pick([..."abcd"])).join("");
      counts.set(word, (counts.get(word) ?? 0) + 1 + dice.integer(4));
    }
    const { tokens, merges } = trainEncoding(counts, { merges: 60, maxHanCharacters: 3, maxBytes: 5 });
    const plain: string[][] = [];
    let words = [...counts].map(([word, count]) => ({ parts: [...word], count }));
    while (plain.length < 60) {
      const pairs = new Map<string, number>();
      for (const { parts, count } of words)
        for (let i = 0; i + 1 < parts.length; i++) {
          const pair = `${parts[i]} ${parts[i + 1]}`;
          pairs.set(pair, (pairs.get(pair) ?? 0) + count);
        }
      const rank = (pair: string): number[] => pair.split(" ").map((token) => tokens.indexOf(token));
      const [best] = [...pairs]
        .filter(([pair]) => pair.length <= 6)
        .sort(([a, x], [b, y]) => y - x || rank(a)[0]! - rank(b)[0]! || rank(a)[1]! - rank(b)[1]!)[0]!;
      const [left, right] = best.split(" ") as [string, string];
      plain.push([left, right]);
      words = words.map(({ parts, count }) => {
        const next: string[] = [];
        for (let i = 0; i < parts.length; i++) {
          const joins = parts[i] === left && parts[i + 1] === right;
          next.push(joins ? left + right : parts[i]!);
          if (joins) i += 1;
        }
        return { parts: next, count };
      });
    }
    expect(merges).toEqual(plain);
  });

  it("says how large a vocabulary the text allows", () => {
    const counts = new Map([["abab", 3]]);
    expect(() => trainEncoding(counts, { merges: 5, maxHanCharacters: 3, maxBytes: 20 })).toThrow(
      /5 merges was asked for, but after 2 no pair of tokens occurs twice.*at least 3 tokens fewer/s,
    );
  });
});

describe("a new tokenizer", () => {
  const text = "您好，您的订单 order 123 is on its way. Your order ships today; 您的订单今天发货。";
  const counts = new Map<string, number>();
  countWords(text, 5, counts);
  const options = { vocabulary: 300, reserved: 2, contextLength: 64, maxHanCharacters: 3, maxBytes: 20 };
  const files = newTokenizer(counts, options);
  const { tokenizer, chatTemplate } = tokenizerFromSources({ ...files, at: "new" });

  it("has the vocabulary asked for, and gives every text back", () => {
    expect(tokenizer.vocabularySize).toBe(300);
    expect(tokenizer.specialTokens.map(({ id, content }) => [id, content])).toEqual([
      [295, "<|endoftext|>"],
      [296, "<|im_start|>"],
      [297, "<|im_end|>"],
      [298, "<|reserved_0|>"],
      [299, "<|reserved_1|>"],
    ]);
    expect([tokenizer.eosId, tokenizer.paddingId]).toEqual([297, 295]);
    const ids = tokenizer.encode(text);
    expect(ids.length).toBeLessThan(new TextEncoder().encode(text).length);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(tokenizer.decode(tokenizer.encode("naïve 🫖 \n\tçà"))).toBe("naïve 🫖 \n\tçà");
  });

  it("comes with ChatML", () => {
    expect(chatTemplate).toContain("<|im_start|>");
  });
});
