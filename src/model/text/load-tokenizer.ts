/** A tokenizer and its chat template from a model folder's own files. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError, errorCode, explainReadError, parseJson } from "../../util/index.ts";
import { type Tokenizer, type TokenizerDefinition, createTokenizer } from "./tokenizer.ts";
import { type AddedToken, check, maxTokenId, parseTokenizerJson } from "./tokenizer-json.ts";

export interface LoadedTokenizer {
  readonly tokenizer: Tokenizer;
  /** The model's own Jinja source, where it has one. */
  readonly chatTemplate: string | undefined;
  /** What `generation_config.json` names as end-of-sequence ids; empty where it names none. */
  readonly generationStopIds: readonly number[];
}

export interface TokenizerSources {
  /** Parsed `tokenizer.json`. */
  readonly tokenizerJson: unknown;
  /** Parsed `tokenizer_config.json`. */
  readonly tokenizerConfig?: unknown;
  /** The text of `chat_template.jinja`, which wins over the one in the config. */
  readonly chatTemplate?: string;
  /** Parsed `generation_config.json`. */
  readonly generationConfig?: unknown;
  /** Where the files are, for messages. */
  readonly at: string;
}

const tokenText = z.union([
  z.string(),
  z.looseObject({ content: z.string() }).transform((token) => token.content),
]);

const addedEntry = z.looseObject({
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

const configSchema = z.looseObject({
  bos_token: tokenText.nullish(),
  eos_token: tokenText.nullish(),
  unk_token: tokenText.nullish(),
  pad_token: tokenText.nullish(),
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  added_tokens_decoder: z.record(z.string(), addedEntry).nullish(),
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish(),
});

const generationSchema = z.looseObject({
  eos_token_id: z.union([z.int().transform((id) => [id]), z.array(z.int())]).nullish(),
});

/** Reads `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and `generation_config.json` of a folder. */
export async function loadTokenizer(folder: string): Promise<LoadedTokenizer> {
  const path = join(folder, "tokenizer.json");
  const [tokenizer, config, template, generation] = await Promise.all([
    readIfThere(path, "the tokenizer"),
    readIfThere(join(folder, "tokenizer_config.json"), "the tokenizer config"),
    readIfThere(join(folder, "chat_template.jinja"), "the chat template"),
    readIfThere(join(folder, "generation_config.json"), "the generation config"),
  ]);
  if (tokenizer === undefined) {
    throw new UserError(`the model folder ${folder} has no tokenizer.json`, {
      next: "Add the tokenizer.json that was published with the model.",
    });
  }
  return tokenizerFromSources({
    tokenizerJson: parseJson(tokenizer, path),
    ...(config === undefined
      ? {}
      : { tokenizerConfig: parseJson(config, join(folder, "tokenizer_config.json")) }),
    ...(template === undefined ? {} : { chatTemplate: template }),
    ...(generation === undefined
      ? {}
      : { generationConfig: parseJson(generation, join(folder, "generation_config.json")) }),
    at: path,
  });
}

export function tokenizerFromSources(sources: TokenizerSources): LoadedTokenizer {
  const { at } = sources;
  const file = parseTokenizerJson(sources.tokenizerJson, at);
  const config = check(configSchema, sources.tokenizerConfig ?? {}, "tokenizer_config", at);
  const generation = check(generationSchema, sources.generationConfig ?? {}, "generation_config", at);
  const { vocabulary } = file.model;

  const added = new Map(file.added_tokens.map((token) => [token.content, token]));
  for (const [key, entry] of Object.entries(config.added_tokens_decoder ?? {})) {
    const id = Number(key);
    if (!Number.isInteger(id) || id < 0 || id > maxTokenId || added.has(entry.content)) continue;
    const { content, single_word, lstrip, rstrip, normalized, special } = entry;
    added.set(content, { id, content, single_word, lstrip, rstrip, normalized, special });
  }
  const roleId = (text: string | null | undefined): number | undefined => {
    if (text === null || text === undefined || text === "") return undefined;
    const token = added.get(text);
    const id = token?.id ?? vocabulary.get(text);
    if (id !== undefined && token?.special !== true) added.set(text, plainSpecial(id, text));
    return id;
  };
  const bosId = roleId(config.bos_token);
  const eosId = roleId(config.eos_token);
  const unknownId = roleId(config.unk_token ?? file.model.unknownToken);
  const paddingId = roleId(config.pad_token);

  const tokens: (string | undefined)[] = [];
  for (const [token, id] of vocabulary) tokens[id] = token;
  for (const token of added.values()) tokens[token.id] = token.content;
  const hasRule = file.prefix.length + file.suffix.length > 0;
  const prefix =
    !hasRule && config.add_bos_token === true && bosId !== undefined ? [tokens[bosId]!] : file.prefix;
  const suffix =
    !hasRule && config.add_eos_token === true && eosId !== undefined ? [tokens[eosId]!] : file.suffix;
  const definition: TokenizerDefinition = {
    ...file,
    added_tokens: [...added.values()],
    prefix,
    suffix,
    tokens: Array.from(tokens),
    ...(bosId === undefined ? {} : { bosId }),
    ...(eosId === undefined ? {} : { eosId }),
    ...(unknownId === undefined ? {} : { unknownId }),
    ...(paddingId === undefined ? {} : { paddingId }),
  };
  return {
    tokenizer: createTokenizer(definition),
    chatTemplate: sources.chatTemplate ?? templateOf(config.chat_template),
    generationStopIds: generation.eos_token_id ?? [],
  };
}

export function plainSpecial(id: number, content: string): AddedToken {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

function templateOf(value: z.infer<typeof configSchema>["chat_template"]): string | undefined {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return undefined;
  return (value.find((one) => one.name === "default") ?? value[0])?.template;
}

async function readIfThere(path: string, what: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw explainReadError(error, path, what);
  }
}
