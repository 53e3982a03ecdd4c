/** A model folder's files: which of them are needed, and which one wins where two disagree. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadTokenizer, tokenizerFromSources } from "./load-tokenizer.ts";

const { tokenizer: tokenizerJson } = (
  JSON.parse(readFileSync(new URL("../../../test/golden/text/byte-level.json", import.meta.url), "utf8")) as {
    readonly tokenizers: readonly { readonly tokenizer: Record<string, unknown> }[];
  }
).tokenizers[1]!;
const at = "tokenizer.json";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-tokenizer-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});
const put = (name: string, value: unknown): Promise<void> =>
  writeFile(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));

describe("loadTokenizer", () => {
  it("reads the tokenizer, its roles, the chat template and the stop ids", async () => {
    await put("tokenizer.json", tokenizerJson);
    await put("tokenizer_config.json", {
      bos_token: { content: "<|endoftext|>", lstrip: false },
      eos_token: "<|im_end|>",
      pad_token: null,
      chat_template: "from the config",
    });
    await put("generation_config.json", { eos_token_id: [2, 0] });
    const loaded = await loadTokenizer(folder);
    const { bosId, eosId, paddingId, unknownId } = loaded.tokenizer;
    expect({ bosId, eosId, paddingId, unknownId }).toEqual({
      bosId: 0,
      eosId: 2,
      paddingId: undefined,
      unknownId: undefined,
    });
    expect(loaded.chatTemplate).toBe("from the config");
    expect(loaded.generationStopIds).toEqual([2, 0]);
    await put("chat_template.jinja", "from its own file");
    expect((await loadTokenizer(folder)).chatTemplate).toBe("from its own file");
  });

  it("needs tokenizer.json and nothing else", async () => {
    await expect(loadTokenizer(folder)).rejects.toThrow(/has no tokenizer.json. Add the tokenizer.json/);
    await put("tokenizer.json", tokenizerJson);
    const { tokenizer, chatTemplate, generationStopIds } = await loadTokenizer(folder);
    expect(tokenizer.encode("Hello")).not.toHaveLength(0);
    expect([chatTemplate, generationStopIds]).toEqual([undefined, []]);
  });

  it("names the file that is no JSON", async () => {
    await put("tokenizer.json", '{"model": ');
    await expect(loadTokenizer(folder)).rejects.toThrow(/not valid JSON.*tokenizer\.json/);
  });
});

describe("tokenizerFromSources", () => {
  it("takes the template named default where there are several", () => {
    const chat_template = [
      { name: "tool_use", template: "t" },
      { name: "default", template: "d" },
    ];
    expect(tokenizerFromSources({ tokenizerJson, tokenizerConfig: { chat_template }, at }).chatTemplate).toBe(
      "d",
    );
  });

  it("takes added tokens from the config too, and makes tokens with a role special", () => {
    const id = 5_000;
    const { tokenizer } = tokenizerFromSources({
      tokenizerJson,
      tokenizerConfig: {
        eos_token: "<tool>",
        added_tokens_decoder: { [id]: { content: "<extra>", special: true }, "-1": { content: "<bad>" } },
      },
      at,
    });
    expect(tokenizer.encode("<extra>")).toEqual([id]);
    expect(tokenizer.vocabularySize).toBe(id + 1);
    expect(tokenizer.idOf("<bad>")).toBeUndefined();
    expect(tokenizer.specialIds.has(tokenizer.eosId!)).toBe(true);
    expect(tokenizer.decode([tokenizer.eosId!])).toBe("<tool>");
  });

  it("adds BOS by the config where the tokenizer file has no rule of its own", () => {
    const bare = { ...tokenizerJson, post_processor: null };
    const tokenizerConfig = { bos_token: "<|endoftext|>", add_bos_token: true };
    const { tokenizer } = tokenizerFromSources({ tokenizerJson: bare, tokenizerConfig, at });
    expect(tokenizer.addsBos).toBe(true);
    expect(tokenizer.encode("a", { addSpecialTokens: true })).toEqual([0, ...tokenizer.encode("a")]);
  });

  it.each([
    [{ eos_token: 3 }, /tokenizer_config.eos_token/],
    [{ added_tokens_decoder: { 1: { content: "" } } }, /tokenizer_config.added_tokens_decoder.1.content/],
    [[], /tokenizer_config: /],
  ])("refuses the config %j", (tokenizerConfig, message) => {
    expect(() => tokenizerFromSources({ tokenizerJson, tokenizerConfig, at })).toThrow(message);
  });
});
