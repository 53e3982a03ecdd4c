/** Writes the pre-training corpus as token files: `npx tsx scripts/quickstart/build-corpus.ts [--data FOLDER] [--without NAME …]`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import type { Message } from "../../src/model/text/index.ts";
import { formatCount, sha256OfFile, writeFileAtomic } from "../../src/util/index.ts";
import { CORPUS_FILES, type CorpusIndex, type CorpusSourceIndex, splitHeldOut } from "./corpus-format.ts";
import { readCorpusSources } from "./corpus-sources.ts";

const ROOT = join(import.meta.dirname, "..", "..");

interface EncodedDocument {
  readonly ids: readonly number[];
  readonly mask: readonly number[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: "string", default: join(ROOT, "..", "shared", "data") },
      model: { type: "string", default: join(ROOT, "assets", "quickstart", "model") },
      out: { type: "string", default: join(ROOT, ".cache", "quickstart") },
      without: { type: "string", multiple: true, default: [] },
    },
  });
  const tokenizerPath = join(values.model, "tokenizer.json");
  const encode = documentEncoder(
    new Tokenizer(
      JSON.parse(readFileSync(tokenizerPath, "utf8")) as object,
      JSON.parse(readFileSync(join(values.model, "tokenizer_config.json"), "utf8")) as object,
    ),
  );
  const ids: number[] = [];
  const mask: number[] = [];
  const documents = [0];
  const sources: CorpusSourceIndex[] = [];
  for (const { name, licence, conversations } of await readCorpusSources(values.data)) {
    if (values.without.includes(name)) continue;
    const [firstDocument, firstToken] = [documents.length - 1, ids.length];
    const { train, heldOut } = splitHeldOut(conversations);
    let assistantTokens = 0;
    const append = (messages: readonly Message[]): void => {
      const document = encode(messages);
      for (const id of document.ids) ids.push(id);
      for (const bit of document.mask) {
        mask.push(bit);
        assistantTokens += bit;
      }
      documents.push(ids.length);
    };
    train.forEach(append);
    const [heldOutFrom, heldOutToken] = [documents.length - 1, ids.length];
    heldOut.forEach(append);
    sources.push({
      name,
      licence,
      firstDocument,
      heldOutFrom,
      endDocument: documents.length - 1,
      tokens: ids.length - firstToken,
      heldOutTokens: ids.length - heldOutToken,
      assistantTokens,
    });
    console.log(
      `${name}: ${formatCount(conversations.length)} conversations, ${formatCount(ids.length - firstToken)} tokens`,
    );
  }
  const index: CorpusIndex = {
    format: 1,
    vocabulary: 6_144,
    tokenizerSha256: await sha256OfFile(tokenizerPath),
    tokens: ids.length,
    documents,
    sources,
  };
  const packed = Buffer.alloc(ids.length * 2);
  for (const [i, id] of ids.entries()) packed.writeUInt16LE(id, i * 2);
  await writeFileAtomic(join(values.out, CORPUS_FILES.ids), packed);
  await writeFileAtomic(join(values.out, CORPUS_FILES.mask), Uint8Array.from(mask));
  await writeFileAtomic(join(values.out, CORPUS_FILES.index), `${JSON.stringify(index)}\n`);
  console.log(
    `${formatCount(ids.length)} tokens in ${formatCount(documents.length - 1)} documents → ${values.out}`,
  );
}

/** Renders a conversation in ChatML, as the model's chat template does, and marks the assistant's tokens. */
function documentEncoder(tokenizer: Tokenizer): (messages: readonly Message[]) => EncodedDocument {
  const special = (token: string): number => {
    const id = tokenizer.token_to_id(token);
    if (id === undefined) throw new Error(`the tokenizer lacks ${token}`);
    return id;
  };
  const [start, end, close] = [special("<|im_start|>"), special("<|im_end|>"), special("<|endoftext|>")];
  const encode = (text: string): readonly number[] =>
    tokenizer.encode(text, { add_special_tokens: false }).ids;
  const newline = encode("\n");
  return (messages) => {
    const ids: number[] = [];
    const mask: number[] = [];
    const push = (tokens: readonly number[], supervised: boolean): void => {
      for (const id of tokens) {
        ids.push(id);
        mask.push(supervised ? 1 : 0);
      }
    };
    for (const { role, content } of messages) {
      const [header, whole] = [encode(`${role}\n`), encode(`${role}\n${content}`)];
      if (header.some((id, i) => whole[i] !== id)) throw new Error(`a token spans the header of: ${content}`);
      push([start, ...header], false);
      push([...whole.slice(header.length), end], role === "assistant");
      push(newline, false);
    }
    push([close], false);
    return { ids, mask };
  };
}

await main();
