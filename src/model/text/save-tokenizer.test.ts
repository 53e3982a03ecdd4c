/** Written and read again, a tokenizer is the same one; Hugging Face's library read these files with the same ids. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { chatMlWithSystem, smallTokenizer } from "../../../test/fixtures/text.ts";
import { chatTemplate } from "./chat-template.ts";
import { tokenizerFromGguf } from "./gguf-vocabulary.ts";
import { tokenizerFromSources } from "./load-tokenizer.ts";
import { tokenizerFiles } from "./save-tokenizer.ts";

interface Golden {
  readonly texts: readonly string[];
  readonly specialTexts: readonly string[];
  readonly tokenizers: readonly { readonly name: string; readonly tokenizer: unknown }[];
  readonly gguf?: { readonly tokens: string[]; readonly scores: number[]; readonly tokenTypes: number[] };
}
const files = ["byte-level.json", "sentencepiece.json"].map(
  (name): Golden =>
    JSON.parse(readFileSync(new URL(`../../../test/golden/text/${name}`, import.meta.url), "utf8")) as Golden,
);
const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe("tokenizerFiles", () => {
  const cases = files.flatMap(({ tokenizers, texts, specialTexts }) =>
    tokenizers.map(({ name, tokenizer }) => ({ name, tokenizer, texts: [...texts, ...specialTexts] })),
  );

  it.each(cases)("$name", ({ tokenizer: tokenizerJson, texts }) => {
    const before = tokenizerFromSources({ tokenizerJson, at: "before" }).tokenizer.withToken(
      "<sep>",
    ).tokenizer;
    const written = tokenizerFiles(before);
    const after = tokenizerFromSources({
      tokenizerJson: throughJson(written.tokenizerJson),
      tokenizerConfig: throughJson(written.tokenizerConfig),
      at: "after",
    }).tokenizer;
    expect(after.specialTokens).toEqual(before.specialTokens);
    expect(after.vocabularySize).toBe(before.vocabularySize);
    for (const text of [...texts, "a<sep>b"]) {
      const ids = before.encode(text, { addSpecialTokens: true });
      expect(after.encode(text, { addSpecialTokens: true })).toEqual(ids);
      expect(after.decode(ids)).toBe(before.decode(ids));
    }
  });

  it("writes a GGUF's vocabulary, the roles of its tokens, and the chat template", () => {
    const { gguf, texts } = files[1]!;
    const vocabulary = { model: "llama", ...gguf!, bosId: 1, eosId: 2, unknownId: 0, paddingId: 2 };
    const before = tokenizerFromGguf(vocabulary).tokenizer;
    const written = tokenizerFiles(before, chatTemplate("{{ messages }}", before));
    const after = tokenizerFromSources({
      tokenizerJson: throughJson(written.tokenizerJson),
      tokenizerConfig: throughJson(written.tokenizerConfig),
      at: "after",
    });
    expect(after.chatTemplate).toBe("{{ messages }}");
    const { bosId, eosId, unknownId, paddingId, addsBos } = after.tokenizer;
    expect({ bosId, eosId, unknownId, paddingId, addsBos }).toEqual({
      bosId: 1,
      eosId: 2,
      unknownId: 0,
      paddingId: 2,
      addsBos: true,
    });
    for (const text of texts) expect(after.tokenizer.encode(text)).toEqual(before.encode(text));
  });

  it("writes the one field of a byte-level step that Hugging Face's reader demands", () => {
    const { tokenizerJson } = tokenizerFiles(smallTokenizer());
    expect(tokenizerJson).toMatchObject({
      pre_tokenizer: { pretokenizers: [{ type: "Digits" }, { type: "ByteLevel", trim_offsets: true }] },
    });
  });

  it("keeps the template's source as it is", () => {
    const tokenizer = smallTokenizer();
    const { tokenizerConfig } = tokenizerFiles(tokenizer, chatTemplate(chatMlWithSystem, tokenizer));
    expect(tokenizerConfig).toMatchObject({ chat_template: chatMlWithSystem, eos_token: "<|im_end|>" });
  });
});
