/** The embedded tokenizer: the shipped files against Hugging Face's ids. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import { wordPattern } from "../../src/model/text/index.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const readJson = <T>(...path: string[]): T => JSON.parse(readFileSync(join(ROOT, ...path), "utf8")) as T;

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
    expect(file.pre_tokenizer.pretokenizers[0]!.pattern!.Regex).toBe(wordPattern);
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
