/** Where a pre-training run starts: corpus and tokenizer, the model's description, and how its weights are drawn. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { type Corpus, corpusCollector, documentEncoder } from "../data/feed/index.ts";
import { documentFiles, readDocuments } from "../data/read/index.ts";
import {
  type ChatModel,
  type FreshModelFiles,
  type Initialisation,
  chatModelOf,
  freshModel,
} from "../model/index.ts";
import {
  type Tokenizer,
  chatTemplate,
  conversationRenderer,
  countWords,
  documentEnd,
  loadTokenizer,
  newTokenizer,
  tokenizerFiles,
  tokenizerFromSources,
} from "../model/text/index.ts";
import {
  UserError,
  parseJson,
  random,
  readTextFile,
  sha256OfFile,
  writeFileAtomic,
  makeFolder,
} from "../util/index.ts";
import type { PretrainConfig } from "./pretrain-schema.ts";
import type { DataSource, TrainingData } from "./training-data.ts";

export interface Start {
  readonly files: FreshModelFiles;
  readonly initialisation: Initialisation;
  readonly corpus: Corpus;
  /** The first document that is held out; those before it are learned from. */
  readonly heldOutFrom: number;
  readonly sources: readonly DataSource[];
  /** How the held-out documents came about, for people. */
  readonly split: string;
  /** The configuration that it was made by. */
  readonly settings: PretrainConfig;
}

export interface StartOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (text: string) => void;
}

/** Reads the corpus, trains or takes the tokenizer, and encodes; nothing is written. */
export async function makeStart(config: PretrainConfig, options: StartOptions = {}): Promise<Start> {
  const { data, shape } = config;
  refuseShape(shape);
  const list = (paths: string | readonly string[]): readonly string[] =>
    typeof paths === "string" ? [paths] : paths;
  const training = await documentFiles(list(data.train));
  const validation = data.validation === undefined ? [] : await documentFiles(list(data.validation));
  const { tokenizerJson, tokenizerConfig } = await tokenizerOf(config, training, options);
  const { tokenizer, chatTemplate: source } = tokenizerFromSources({
    tokenizerJson,
    tokenizerConfig,
    at: config.tokenizer.from ?? "the new tokenizer",
  });
  const endId = tokenizer.idOf(documentEnd) ?? tokenizer.eosId;
  const renderer = conversationRenderer({ tokenizer, template: chatTemplate(source, tokenizer) });
  const encode = documentEncoder(renderer, endId);
  const { add, corpus } = corpusCollector();
  let [documents, tokens] = [0, 0];
  const sources: DataSource[] = [];
  const take = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) {
      let examples = 0;
      for await (const document of readDocuments(path, { fields: data.fields })) {
        options.signal?.throwIfAborted();
        const ids = encode(document);
        add(ids);
        tokens += ids.length;
        examples += 1;
        if (++documents % 200 === 0)
          options.onProgress?.(`encoding: ${documents} documents, ${tokens} tokens`);
      }
      sources.push({ path, sha256: await sha256OfFile(path), examples });
    }
  };
  await take(training);
  const learned = documents;
  await take(validation);
  if (learned === 0)
    throw new UserError("the corpus holds no documents", { next: "Check that it is the files you meant." });
  const stopIds = [...new Set([...renderer.stopIds, ...(endId === undefined ? [] : [endId])])];
  const held =
    data.validation === undefined
      ? holdOut(corpus(), data.validationShare, config.seed)
      : { corpus: corpus(), heldOutFrom: learned, split: `${documents - learned} documents to measure on` };
  return {
    files: {
      config: modelConfig(shape, config.initial.deviation, tokenizer, stopIds),
      tokenizerJson,
      tokenizerConfig,
      generationConfig: {
        eos_token_id: stopIds,
        ...(tokenizer.paddingId === undefined ? {} : { pad_token_id: tokenizer.paddingId }),
      },
    },
    initialisation: { seed: config.seed, ...config.initial },
    ...held,
    sources,
    settings: config,
  };
}

/** As files: what was trained on this corpus, or what was given. */
async function tokenizerOf(
  { tokenizer: wanted, data, shape }: PretrainConfig,
  files: readonly string[],
  options: StartOptions,
): Promise<{ tokenizerJson: unknown; tokenizerConfig: unknown }> {
  const { from, ...limits } = wanted;
  if (from !== undefined) {
    const folder = await stat(from).then(
      (found) => (found.isDirectory() ? from : dirname(from)),
      () => from,
    );
    const { tokenizer, chatTemplate: source } = await loadTokenizer(folder);
    return tokenizerFiles(tokenizer, chatTemplate(source, tokenizer));
  }
  const counts = new Map<string, number>();
  let documents = 0;
  for (const path of files) {
    for await (const document of readDocuments(path, { fields: data.fields })) {
      options.signal?.throwIfAborted();
      if (document.kind === "text") countWords(document.text, 1, counts);
      else for (const { content } of document.example.messages) countWords(content, 1, counts);
      if (++documents % 500 === 0)
        options.onProgress?.(`training the tokenizer: ${documents} documents, ${counts.size} words`);
    }
  }
  options.onProgress?.(`training the tokenizer: ${counts.size} words`);
  return newTokenizer(counts, { ...limits, contextLength: shape.context });
}

/** Before anything is read: a corpus may take minutes. */
function refuseShape({ hiddenSize, heads, kvHeads, headWidth }: PretrainConfig["shape"]): void {
  const refuse = (problem: string, next: string): never => {
    throw new UserError(problem, { next });
  };
  if (headWidth === undefined && hiddenSize % heads !== 0)
    refuse(
      `shape.hiddenSize is ${hiddenSize}, which ${heads} heads do not divide`,
      "Change shape.heads, or give shape.headWidth.",
    );
  const width = headWidth ?? hiddenSize / heads;
  if (width % 2 !== 0)
    refuse(
      `the width of a head is ${width}; rotary embedding needs an even number`,
      "Change shape.headWidth.",
    );
  if (kvHeads !== undefined && heads % kvHeads !== 0)
    refuse(`shape.kvHeads is ${kvHeads}, which does not divide ${heads} heads`, "Change shape.kvHeads.");
}

function modelConfig(
  shape: PretrainConfig["shape"],
  deviation: number,
  tokenizer: Tokenizer,
  stopIds: readonly number[],
): Record<string, unknown> {
  const { hiddenSize, heads, mlpWidth, headWidth } = shape;
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: tokenizer.vocabularySize,
    hidden_size: hiddenSize,
    intermediate_size: mlpWidth ?? 64 * Math.ceil((8 * hiddenSize) / 3 / 64),
    num_hidden_layers: shape.layers,
    num_attention_heads: heads,
    num_key_value_heads: shape.kvHeads ?? heads,
    head_dim: headWidth ?? hiddenSize / heads,
    hidden_act: "silu",
    max_position_embeddings: shape.context,
    rms_norm_eps: shape.normEpsilon,
    rope_theta: shape.ropeTheta,
    tie_word_embeddings: shape.tiedEmbeddings,
    attention_bias: false,
    mlp_bias: false,
    initializer_range: deviation,
    bos_token_id: tokenizer.bosId ?? null,
    eos_token_id: tokenizer.eosId ?? stopIds[0] ?? null,
    pad_token_id: tokenizer.paddingId ?? null,
  };
}

/** Whole documents, where there are enough of them; else the end of each. */
export function holdOut(
  { ids, starts }: Corpus,
  part: number,
  seed: number,
): Pick<Start, "corpus" | "heldOutFrom" | "split"> {
  const documents = starts.length - 1;
  if (part === 0) return { corpus: { ids, starts }, heldOutFrom: documents, split: "nothing is held out" };
  const percent = `${Number((100 * part).toPrecision(3))} %`;
  const { add, corpus } = corpusCollector();
  const held: Int32Array[] = [];
  const wanted = Math.round(part * documents);
  const whole = wanted >= 2 && wanted < documents;
  const order = random(seed, "held-out documents").shuffle([...Array(documents).keys()]);
  const chosen = new Set(whole ? order.slice(0, wanted) : []);
  for (let i = 0; i < documents; i++) {
    const document = ids.subarray(starts[i]!, starts[i + 1]!);
    const cut = whole ? document.length : document.length - Math.round(part * document.length);
    if (chosen.has(i)) held.push(document);
    else {
      add(document.subarray(0, cut));
      if (cut < document.length) held.push(document.subarray(cut));
    }
  }
  const heldOutFrom = whole ? documents - wanted : documents;
  for (const document of held) add(document);
  return {
    corpus: corpus(),
    heldOutFrom,
    split: whole
      ? `${percent} of the documents held out for validation`
      : `the last ${percent} of each document held out for validation`,
  };
}

/** The model that the run starts from, and its data. `folder`: where the start stands, or will. */
export function openStart(
  { files, initialisation, corpus, heldOutFrom, sources, split }: Start,
  folder: string,
): { readonly model: ChatModel; readonly data: TrainingData } {
  return {
    model: chatModelOf(freshModel(folder, files, initialisation)),
    data: { training: [], validation: [], sources, split, corpus: { ...corpus, heldOutFrom } },
  };
}

const names = {
  config: "config.json",
  tokenizerJson: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  generationConfig: "generation_config.json",
} as const satisfies Record<keyof FreshModelFiles, string>;

const recordFile = "start.json";
const idsFile = "corpus.bin";
const documentsFile = "documents.bin";

const recordSchema = z.object({
  schemaVersion: z.literal(1),
  initialisation: z.object({ seed: z.int(), deviation: z.number(), scaledResiduals: z.boolean() }),
  sources: z.array(z.object({ path: z.string(), sha256: z.string(), examples: z.int() })),
  split: z.string(),
  heldOutFrom: z.int().min(0),
  /** SHA-256 of the token ids (int32, little-endian) and of where documents start (float64, little-endian). */
  corpusSha256: z.string(),
  settings: z.unknown(),
});

const bytesOf = (values: Int32Array | Float64Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

const hashOf = (ids: Uint8Array, starts: Uint8Array): string =>
  createHash("sha256").update(ids).update(starts).digest("hex");

/** Writes the start into `folder`, the record last: without it there is no start. */
export async function writeStart(folder: string, start: Start): Promise<void> {
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  await makeFolder(folder);
  for (const [key, name] of Object.entries(names))
    await writeFileAtomic(join(folder, name), json(start.files[key as keyof FreshModelFiles]));
  const { initialisation, sources, split, heldOutFrom, settings } = start;
  const ids = bytesOf(start.corpus.ids);
  const starts = bytesOf(Float64Array.from(start.corpus.starts));
  await writeFileAtomic(join(folder, idsFile), ids);
  await writeFileAtomic(join(folder, documentsFile), starts);
  await writeFileAtomic(
    join(folder, recordFile),
    json({
      schemaVersion: 1,
      initialisation,
      sources,
      split,
      heldOutFrom,
      corpusSha256: hashOf(ids, starts),
      settings,
    }),
  );
}

export async function readStart(folder: string): Promise<Start> {
  const read = async (name: string): Promise<unknown> =>
    parseJson(await readTextFile(join(folder, name), "the run's start"), join(folder, name));
  const parsed = recordSchema.safeParse(await read(recordFile));
  const damaged = (cause?: unknown): UserError =>
    new UserError(`the start of the run, ${folder}, is damaged`, {
      next: "Restore the folder, or start the run anew.",
      cause,
    });
  if (!parsed.success) throw damaged(parsed.error);
  const { corpusSha256, schemaVersion: _, settings, ...record } = parsed.data;
  const [ids, starts] = await Promise.all(
    [idsFile, documentsFile].map(async (name) => new Uint8Array(await readFile(join(folder, name)))),
  ).catch((error: unknown) => {
    throw damaged(error);
  });
  if (hashOf(ids!, starts!) !== corpusSha256) throw damaged();
  const files = Object.fromEntries(
    await Promise.all(Object.entries(names).map(async ([key, name]) => [key, await read(name)] as const)),
  ) as unknown as FreshModelFiles;
  return {
    ...record,
    files,
    corpus: {
      ids: new Int32Array(ids!.slice().buffer),
      starts: [...new Float64Array(starts!.slice().buffer)],
    },
    settings: settings as PretrainConfig,
  };
}
