/** Trains the embedded model's bilingual tokenizer and writes it in Hugging Face's format: `npx tsx scripts/quickstart/train-tokenizer.ts [--data FOLDER]`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type Tokenizer,
  countWords,
  newTokenizer,
  tokenizerFromSources,
} from "../../src/model/text/index.ts";
import { formatCount, writeFileAtomic } from "../../src/util/index.ts";
import { type CorpusSource, readCorpusSources, splitHeldOut } from "./corpus-sources.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** The words of the embedded shop are counted too: its goods should not fall apart into bytes. */
const SHOP_WEIGHT = 12;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: "string", default: join(ROOT, "..", "shared", "data") },
      out: { type: "string", default: join(ROOT, "assets", "quickstart", "model") },
    },
  });
  const sources = await readCorpusSources(values.data);
  const counts = new Map<string, number>();
  for (const source of sources) countSource(source, counts);
  const shop: unknown = JSON.parse(readFileSync(join(ROOT, "assets", "quickstart", "shop.json"), "utf8"));
  for (const text of wording(shop)) countWords(text, SHOP_WEIGHT, counts);
  const { tokenizerJson, tokenizerConfig } = newTokenizer(counts, {
    vocabulary: 6_144,
    reserved: 5,
    contextLength: 1024,
    maxHanCharacters: 3,
    maxBytes: 20,
  });
  await writeFileAtomic(join(values.out, "tokenizer.json"), `${JSON.stringify(tokenizerJson)}\n`);
  const { eos_token, pad_token } = tokenizerConfig as Record<string, unknown>;
  for (const [name, content] of [
    ["tokenizer_config.json", tokenizerConfig],
    ["special_tokens_map.json", { eos_token, pad_token }],
  ] as const)
    await writeFileAtomic(join(values.out, name), `${JSON.stringify(content, null, 2)}\n`);
  report(sources, tokenizerFromSources({ tokenizerJson, tokenizerConfig, at: values.out }).tokenizer);
}

function countSource(source: CorpusSource, counts: Map<string, number>): void {
  for (const messages of splitHeldOut(source.conversations).train.slice(0, source.tokenizerLimit)) {
    for (const { content } of messages) countWords(content, source.tokenizerWeight, counts);
  }
}

/** The strings below `en` and `zh` anywhere in the knowledge file. */
function wording(value: unknown, isText = false): readonly string[] {
  if (typeof value === "string") return isText ? [value, ` ${value}`] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) =>
    wording(child, isText || key === "en" || key === "zh"),
  );
}

/** Characters a token on the held-out conversations of every source. */
function report(sources: readonly CorpusSource[], tokenizer: Tokenizer): void {
  for (const { name, conversations } of sources) {
    let characters = 0;
    let tokens = 0;
    for (const { content } of splitHeldOut(conversations).heldOut.flat()) {
      characters += [...content].length;
      tokens += tokenizer.encode(content).length;
    }
    if (tokens > 0) {
      const perToken = (characters / tokens).toFixed(2);
      console.log(`${name}: ${perToken} characters a token (${formatCount(tokens)} held-out tokens)`);
    }
  }
}

await main();
