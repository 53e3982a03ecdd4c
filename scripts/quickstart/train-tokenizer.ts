/** Trains the embedded model's bilingual tokenizer and writes it in Hugging Face's format: `npx tsx scripts/quickstart/train-tokenizer.ts [--data FOLDER]`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import { formatCount, writeFileAtomic } from "../../src/util/index.ts";
import { PRE_TOKEN_SOURCE, countWords, trainEncoding } from "./byte-pair-encoding.ts";
import { splitHeldOut } from "./corpus-format.ts";
import { type CorpusSource, readCorpusSources } from "./corpus-sources.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const VOCABULARY = 6_144;
const SPECIALS = [
  "<|endoftext|>",
  "<|im_start|>",
  "<|im_end|>",
  "<|reserved_0|>",
  "<|reserved_1|>",
  "<|reserved_2|>",
  "<|reserved_3|>",
  "<|reserved_4|>",
] as const;

/** ChatML; no default system message, so that what is rendered is what was given. */
const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

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
  for (const role of ["system", "user", "assistant"]) counts.set(role, (counts.get(role) ?? 0) + 1e6);
  const encoding = trainEncoding(counts, {
    merges: VOCABULARY - 256 - SPECIALS.length,
    maxHanCharacters: 3,
    maxBytes: 20,
  });

  const specials = SPECIALS.map((content, index) => ({
    id: encoding.tokens.length + index,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  const split = { type: "Split", pattern: { Regex: PRE_TOKEN_SOURCE }, behavior: "Isolated", invert: false };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials,
    normalizer: { type: "NFC" },
    pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(encoding.tokens.map((token, id) => [token, id])),
      merges: encoding.merges.map(([left, right]) => `${left} ${right}`),
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    model_max_length: 1024,
    bos_token: null,
    eos_token: "<|im_end|>",
    pad_token: "<|endoftext|>",
    unk_token: null,
    clean_up_tokenization_spaces: false,
    chat_template: CHAT_TEMPLATE,
  };
  await writeFileAtomic(join(values.out, "tokenizer.json"), `${JSON.stringify(tokenizer)}\n`);
  await writeFileAtomic(join(values.out, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
  const map = { eos_token: config.eos_token, pad_token: config.pad_token };
  await writeFileAtomic(join(values.out, "special_tokens_map.json"), `${JSON.stringify(map, null, 2)}\n`);
  report(sources, new Tokenizer(tokenizer, config));
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
      tokens += tokenizer.encode(content, { add_special_tokens: false }).ids.length;
    }
    if (tokens > 0) {
      const perToken = (characters / tokens).toFixed(2);
      console.log(`${name}: ${perToken} characters a token (${formatCount(tokens)} held-out tokens)`);
    }
  }
}

await main();
