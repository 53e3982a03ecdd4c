/** Ids and texts equal to Hugging Face's, over every word rule and decoder; golden files by test/golden/text/tokenizers.py. */
import { readFileSync } from "node:fs";
import { assert, nat, property, string } from "fast-check";
import { describe, expect, it } from "vitest";
import { smolLm2 } from "../../../test/fixtures/smollm2.ts";
import { ggufVocabulary } from "../../../test/fixtures/gguf-vocabulary.ts";
import { chatTemplate } from "./chat-template.ts";
import { tokenizerFromGguf } from "./gguf-vocabulary.ts";
import { tokenizerFromSources } from "./load-tokenizer.ts";
import type { Message } from "./conversation.ts";
import { conversationRenderer } from "./render.ts";
import type { Tokenizer } from "./tokenizer.ts";

interface GoldenTokenizer {
  readonly name: string;
  readonly pre?: string | null;
  readonly tokenizer: {
    readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly [string, string][] };
    readonly added_tokens: readonly {
      readonly id: number;
      readonly content: string;
      readonly special: boolean;
    }[];
  };
  readonly ids: readonly number[][];
  readonly specialIds: readonly number[][];
  readonly plainIds: readonly number[][];
  readonly decoded: readonly string[];
  readonly specialDecoded: readonly string[];
  readonly specialSkipped: readonly string[];
  readonly withSpecialTokens: readonly number[][];
}

interface Golden {
  readonly texts: readonly string[];
  readonly specialTexts: readonly string[];
  readonly tokenizers: readonly GoldenTokenizer[];
}

const golden = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../../test/golden/text/${name}`, import.meta.url), "utf8")) as T;
const byteLevel = golden<Golden>("byte-level.json");
const sentencePiece = golden<
  Golden & {
    readonly gguf: { readonly tokens: string[]; readonly scores: number[]; readonly tokenTypes: number[] };
  }
>("sentencepiece.json");

const load = (entry: GoldenTokenizer): Tokenizer =>
  tokenizerFromSources({ tokenizerJson: entry.tokenizer, at: "tokenizer.json" }).tokenizer;
const table = (texts: readonly string[], values: readonly unknown[]): Record<string, unknown> =>
  Object.fromEntries(texts.map((text, index) => [text, values[index]]));
const encodeAll = (
  tokenizer: Tokenizer,
  texts: readonly string[],
  options?: Parameters<Tokenizer["encode"]>[1],
): Record<string, unknown> =>
  table(
    texts,
    texts.map((text) => tokenizer.encode(text, options)),
  );

for (const { texts, specialTexts, tokenizers } of [byteLevel, sentencePiece]) {
  describe.each(tokenizers.map((entry) => [entry.name, entry] as const))("%s", (_, entry) => {
    const tokenizer = load(entry);

    it("encodes as Hugging Face does", () => {
      expect(encodeAll(tokenizer, texts)).toEqual(table(texts, entry.ids));
      expect(encodeAll(tokenizer, specialTexts)).toEqual(table(specialTexts, entry.specialIds));
    });

    it("encodes special tokens in plain text as text", () => {
      expect(encodeAll(tokenizer, specialTexts, { plain: true })).toEqual(
        table(specialTexts, entry.plainIds),
      );
    });

    it("decodes as Hugging Face does", () => {
      expect(entry.ids.map((ids) => tokenizer.decode(ids))).toEqual(entry.decoded);
      expect(entry.specialIds.map((ids) => tokenizer.decode(ids))).toEqual(entry.specialDecoded);
      expect(entry.specialIds.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: true }))).toEqual(
        entry.specialSkipped,
      );
    });

    it("adds its special tokens only when asked", () => {
      const asked = ["Hello", "<|im_end|>"].map((text) => tokenizer.encode(text, { addSpecialTokens: true }));
      expect(asked).toEqual(entry.withSpecialTokens);
      expect(tokenizer.encode("Hello")).toEqual(entry.withSpecialTokens[0]!.slice(1));
    });

    it("streams whole characters that add up to the decoded text", () => {
      for (const ids of [...entry.ids, ...entry.specialIds]) {
        const stream = tokenizer.stream();
        const pushed = ids.map((id) => stream.push(id));
        for (const text of pushed) expect(text).not.toContain("\uFFFD");
        expect(pushed.join("") + stream.end()).toBe(tokenizer.decode(ids));
      }
    });

    it("gives the same ids on both sides of a cut as apart", () => {
      assert(
        property(string({ unit: "grapheme", maxLength: 30 }), nat(), (text, seed) => {
          const cut = [...text].slice(0, seed % ([...text].length + 1)).join("").length;
          const { ids, cuts } = tokenizer.encodeSegments(text, [cut]);
          expect(ids.slice(0, cuts[0])).toEqual(tokenizer.encode(text.slice(0, cut)));
        }),
        { numRuns: 50 },
      );
    });
  });
}

describe("a GGUF's own vocabulary", () => {
  const named = byteLevel.tokenizers.filter((entry) => typeof entry.pre === "string");

  it.each(named.map((entry) => [entry.pre!, entry] as const))("pre = %s", (pre, entry) => {
    const { vocab, merges } = entry.tokenizer.model;
    const added = entry.tokenizer.added_tokens;
    const tokens: string[] = [];
    for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
    for (const { id, content } of added) tokens[id] = content;
    const { tokenizer } = tokenizerFromGguf({
      model: "gpt2",
      pre,
      tokens,
      merges: merges.map((pair) => pair.join(" ")),
      tokenTypes: tokens.map((_, id) => (added.find((one) => one.id === id)?.special === true ? 3 : 1)),
    });
    expect(encodeAll(tokenizer, byteLevel.texts)).toEqual(table(byteLevel.texts, entry.ids));
    expect(tokenizer.encode("a<|im_end|>")).toEqual(load(entry).encode("a<|im_end|>"));
  });

  it("derives SentencePiece merges from scores", () => {
    const { gguf, texts, tokenizers } = sentencePiece;
    for (const [addSpacePrefix, entry] of [
      [true, tokenizers[0]!],
      [false, tokenizers[1]!],
    ] as const) {
      const { tokenizer } = tokenizerFromGguf({
        model: "llama",
        ...gguf,
        scores: Float32Array.from(gguf.scores),
        bosId: 1,
        eosId: 2,
        unknownId: 0,
        addSpacePrefix,
      });
      expect(encodeAll(tokenizer, texts)).toEqual(table(texts, entry.ids));
      expect(tokenizer.encode("Hello", { addSpecialTokens: true })).toEqual(entry.withSpecialTokens[0]);
      expect(entry.ids.map((ids) => tokenizer.decode(ids))).toEqual(entry.decoded);
    }
  });

  it("never lets text become a control or byte token", () => {
    const { tokenizer } = tokenizerFromGguf({
      model: "llama",
      tokens: ["<unk>", "<s>", "</s>", "<", "s", ">", "<s", "s>", "/", "\u2581"],
      scores: [0, 0, 0, -1, -2, -3, -4, -5, -6, -7],
      tokenTypes: [2, 3, 3, 1, 1, 1, 1, 1, 1, 1],
      unknownId: 0,
      bosId: 1,
    });
    expect(tokenizer.encode("<s>")).toEqual([1]);
    expect(tokenizer.encode("<s>", { plain: true })).toEqual([9, 6, 5]);
  });

  it.each([
    [{ model: "bert", tokens: ["a"] }, /"bert".*tokenizer.ggml.model.*not supported.*gpt2, llama/],
    [{ model: "gpt2", pre: "blobfish", tokens: ["a"], merges: [] }, /"blobfish".*tokenizer.ggml.pre.*smollm/],
    [{ model: "gpt2", tokens: ["a"] }, /merges is missing/],
    [{ model: "gpt2", tokens: [], merges: [] }, /tokens is empty/],
    [{ model: "gpt2", tokens: ["a", "b"], merges: ["ab"] }, /merges\[0\] is "ab", not two tokens/],
    [{ model: "gpt2", tokens: ["a", "b"], merges: ["a b"] }, /merge 1 .*result is not in the vocabulary/],
    [{ model: "llama", tokens: ["a"] }, /scores is missing/],
    [{ model: "llama", tokens: ["a"], scores: [1, 2] }, /scores has 2 entries for 1 tokens/],
    [{ model: "llama", tokens: ["a"], scores: [1], bosId: 7 }, /bosId is 7, but there are 1 tokens/],
  ])("refuses %j by name", (vocabulary, message) => {
    expect(() => tokenizerFromGguf(vocabulary, "model.gguf")).toThrow(message);
  });

  it("reads SmolLM2 as its published tokenizer.json does", async (context) => {
    const model = await smolLm2();
    if (model.path === undefined) return context.skip(model.reason);
    const vocabulary = await ggufVocabulary(model.path);
    const expected = golden<{
      readonly texts: string[];
      readonly specialTexts: string[];
      readonly ids: number[][];
      readonly idsWithGpt2Words: number[][];
      readonly specialIds: number[][];
      readonly chats: readonly { readonly messages: Message[]; readonly ids: number[] }[];
    }>("smollm2.json");
    const { tokenizer, chatTemplate: source } = tokenizerFromGguf(vocabulary);
    expect(encodeAll(tokenizer, expected.texts)).toEqual(table(expected.texts, expected.ids));
    const renderer = conversationRenderer({ tokenizer, template: chatTemplate(source, tokenizer) });
    for (const { messages, ids } of expected.chats) expect(renderer.prompt(messages)).toEqual(ids);
    expect(encodeAll(tokenizer, expected.specialTexts)).toEqual(
      table(expected.specialTexts, expected.specialIds),
    );
    expect(expected.texts.map((text) => tokenizer.decode(tokenizer.encode(text)))).toEqual(expected.texts);
    // transformers' own reading of a GGUF does not know this word rule and cuts as GPT-2 does.
    const gpt2 = tokenizerFromGguf({ ...vocabulary, pre: "gpt-2" }).tokenizer;
    expect(encodeAll(gpt2, expected.texts)).toEqual(table(expected.texts, expected.idsWithGpt2Words));
  });
});

describe("addToken", () => {
  const tokenizer = load(byteLevel.tokenizers[0]!);

  it("grows the vocabulary by a token that text then holds whole", () => {
    const { tokenizer: grown, id, isNew } = tokenizer.withToken("<sep>");
    expect({ id, isNew }).toEqual({ id: tokenizer.vocabularySize, isNew: true });
    expect(grown.vocabularySize).toBe(tokenizer.vocabularySize + 1);
    expect(grown.encode("a<sep>b")).toEqual([...tokenizer.encode("a"), id, ...tokenizer.encode("b")]);
    expect(grown.decode([id])).toBe("<sep>");
    expect(grown.decode([id], { skipSpecialTokens: true })).toBe("");
    expect(grown.encode("a<sep>b", { plain: true })).toEqual(tokenizer.encode("a<sep>b"));
    expect(tokenizer.idOf("<sep>")).toBeUndefined();
  });

  it("keeps the id of a token that is there", () => {
    const present = tokenizer.withToken("<tool>");
    expect(present.isNew).toBe(false);
    expect(present.id).toBe(tokenizer.idOf("<tool>"));
    expect(present.tokenizer.vocabularySize).toBe(tokenizer.vocabularySize);
    expect(present.tokenizer.specialIds.has(present.id)).toBe(true);
  });

  it("refuses a token that cannot be seen", () => {
    expect(() => tokenizer.withToken(" ")).toThrow(/visible character/);
  });
});

describe("long and hostile text", () => {
  const tokenizers = [load(byteLevel.tokenizers[0]!), load(sentencePiece.tokenizers[0]!)];

  it.each([
    ["one word", "x".repeat(300_000)],
    ["spaces", " ".repeat(300_000)],
    ["half a special token", "<|im_".repeat(60_000)],
    ["no spaces between characters", "您好".repeat(100_000)],
    ["emoji", "👍🏽".repeat(50_000)],
  ])("encodes and decodes %s without taking the square of its length", (_, text) => {
    for (const tokenizer of tokenizers) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it("takes lone surrogates for U+FFFD, as UTF-8 does", () => {
    for (const tokenizer of tokenizers)
      expect(tokenizer.decode(tokenizer.encode("a\uD83Db"))).toBe("a\uFFFDb");
  });

  it("ignores ids that no token has", () => {
    for (const tokenizer of tokenizers) expect(tokenizer.decode([1_000_000, -1])).toBe("");
  });

  it("ends a stream whose last character never came with U+FFFD", () => {
    const tokenizer = tokenizers[1]!;
    const stream = tokenizer.stream();
    expect(stream.push(tokenizer.idOf("<0xE4>")!)).toBe("");
    expect(stream.push(tokenizer.idOf("<0xBD>")!)).toBe("");
    expect(stream.end()).toBe("\uFFFD");
  });
});

describe("a damaged tokenizer.json", () => {
  const good = byteLevel.tokenizers[0]!.tokenizer;
  const nested = JSON.parse(
    `${'{"type":"Sequence","pretokenizers":['.repeat(3_000)}${"]}".repeat(3_000)}`,
  ) as unknown;
  const broken: readonly (readonly [string, unknown, RegExp])[] = [
    ["no object", [], /the file: .*expected object/],
    [
      "another model",
      { ...good, model: { ...good.model, type: "Unigram" } },
      /"Unigram" is not supported \(supported: BPE\)/,
    ],
    ["no vocabulary", { ...good, model: { ...good.model, vocab: {} } }, /model.vocab is empty/],
    [
      "a huge id",
      { ...good, model: { ...good.model, vocab: { a: 1e12 } } },
      /"a" the id 1000000000000; ids are 0–/,
    ],
    ["no merges", { ...good, model: { ...good.model, merges: 3 } }, /model.merges must be a list/],
    ["a lone merge", { ...good, model: { ...good.model, merges: ["a"] } }, /merges\[0\] is "a", not a pair/],
    [
      "another word rule",
      { ...good, pre_tokenizer: { type: "BertPreTokenizer" } },
      /pre_tokenizer "BertPreTokenizer" is not supported/,
    ],
    [
      "another normalizer",
      { ...good, normalizer: { type: "Precompiled" } },
      /normalizer "Precompiled" is not supported/,
    ],
    [
      "steps in steps in steps",
      { ...good, pre_tokenizer: nested },
      /pre_tokenizer nests Sequences more than 10 deep/,
    ],
    ["no decoder", { ...good, decoder: null }, /decoder is missing/],
    [
      "word endings",
      { ...good, model: { ...good.model, end_of_word_suffix: "</w>" } },
      /end_of_word_suffix "<\/w>" is not supported/,
    ],
    [
      "a broken expression",
      { ...good, pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" } },
      /pattern \{"Regex":"\("\} cannot be compiled/,
    ],
  ];

  it.each(broken)("is refused: %s", (_, tokenizerJson, message) => {
    expect(() => tokenizerFromSources({ tokenizerJson, at: "tokenizer.json" })).toThrow(message);
  });
});
