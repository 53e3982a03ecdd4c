/** The embedded tokenizer: its trainer on a known example, and the shipped files against Hugging Face's ids. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import {
  PRE_TOKEN_SOURCE,
  byteAlphabet,
  countWords,
  trainEncoding,
} from "../../scripts/quickstart/byte-pair-encoding.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const readJson = <T>(...path: string[]): T => JSON.parse(readFileSync(join(ROOT, ...path), "utf8")) as T;

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
    const byteOf = new Map(byteAlphabet.map(({ byte, character }) => [character, byte]));
    for (const token of tokens) {
      const text = Buffer.from([...token].map((character) => byteOf.get(character)!)).toString("utf8");
      expect(text.match(/\p{Script=Han}/gu)?.length ?? 0).toBeLessThanOrEqual(3);
    }
  });

  it("splits digits one by one and keeps a word with its blank", () => {
    const counts = new Map<string, number>();
    countWords("It's order 123，您好。", 1, counts);
    expect([...counts.keys()]).toEqual(["It", "'s", " order", " ", "1", "2", "3", "，您好", "。"]);
  });
});

interface TokenizerFile {
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly pre_tokenizer: {
    readonly pretokenizers: readonly { readonly pattern?: { readonly Regex: string } }[];
  };
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly string[] };
}
interface Golden {
  readonly texts: readonly { readonly text: string; readonly ids: readonly number[] }[];
  readonly conversation: readonly { readonly role: string; readonly content: string }[];
  readonly rendered: string;
  readonly renderedIds: readonly number[];
}

describe("the shipped tokenizer", () => {
  const file = readJson<TokenizerFile>("assets", "quickstart", "model", "tokenizer.json");
  const config = readJson<{ chat_template: string; eos_token: string }>(
    "assets",
    "quickstart",
    "model",
    "tokenizer_config.json",
  );
  const golden = readJson<Golden>("test", "golden", "quickstart", "tokenizer.json");
  const tokenizer = new Tokenizer(file, config);
  const encode = (text: string): readonly number[] =>
    tokenizer.encode(text, { add_special_tokens: false }).ids;

  it("has 6,144 tokens: 256 bytes, the merges, 8 specials", () => {
    const ids = [...Object.values(file.model.vocab), ...file.added_tokens.map(({ id }) => id)].sort(
      (a, b) => a - b,
    );
    expect(ids).toEqual(Array.from({ length: 6_144 }, (_, id) => id));
    expect(file.model.merges.length).toBe(6_144 - 256 - 8);
    expect(file.added_tokens.slice(0, 3).map(({ content }) => content)).toEqual([
      "<|endoftext|>",
      "<|im_start|>",
      "<|im_end|>",
    ]);
    expect(file.pre_tokenizer.pretokenizers[0]!.pattern!.Regex).toBe(PRE_TOKEN_SOURCE);
  });

  it("gives the ids that transformers gives", () => {
    for (const { text, ids } of golden.texts) expect(encode(text), text).toEqual(ids);
    expect(encode(golden.rendered)).toEqual(golden.renderedIds);
  });

  it("gives every text back", () => {
    for (const { text, ids } of golden.texts.filter(({ text }) => text !== "")) {
      const back = tokenizer.decode([...ids], {
        skip_special_tokens: false,
        clean_up_tokenization_spaces: false,
      });
      expect(back).toBe(text.normalize("NFC"));
    }
  });

  it("renders ChatML as transformers does", () => {
    const rendered = new Template(config.chat_template).render({
      messages: golden.conversation,
      add_generation_prompt: true,
    });
    expect(rendered).toBe(golden.rendered);
  });
});
