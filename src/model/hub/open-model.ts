/** A model by reference: fetched if need be, described, its weights opened and checked; the tokenizer's files as they are. */
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError, parseJson, readTextFile } from "../../util/index.ts";
import { type ModelSpec, checkWeights, specFromConfig, specFromGguf } from "../decoder/index.ts";
import {
  type GgufVocabularyData,
  type WeightStore,
  isAdapterFolder,
  openCheckpoint,
  openGguf,
} from "../weights/index.ts";
import { isFile } from "./cache.ts";
import { type FetchOptions, fetchModel } from "./fetch-model.ts";
import { resolveReference } from "./reference.ts";
import { indexFile, singleFile } from "./select-files.ts";

/** Where the tokenizer comes from, unread beyond JSON. */
export type TokenizerFiles =
  | {
      readonly kind: "files";
      readonly tokenizerJson: unknown;
      readonly tokenizerConfig?: unknown;
      /** Path of tokenizer.json, for messages. */
      readonly at: string;
    }
  | { readonly kind: "gguf"; readonly vocabulary: GgufVocabularyData; readonly at: string };

export interface OpenModel {
  /** What the user wrote. */
  readonly reference: string;
  /** `owner/name` from a hub, else the path: what an adapter names as its base. */
  readonly name: string;
  /** Branch, tag or commit; only from a hub. */
  readonly revision?: string;
  /** The state of the repository; only from a hub. */
  readonly commit?: string;
  /** Holds the files. */
  readonly folder: string;
  /** The GGUF file, when the model is one. */
  readonly file?: string;
  readonly spec: ModelSpec;
  readonly store: WeightStore;
  readonly tokenizer: TokenizerFiles;
  /** The text of chat_template.jinja or chat_template.json; templates inside tokenizer_config.json or the vocabulary are left there. */
  readonly chatTemplate?: string;
  /** Parsed generation_config.json. */
  readonly generationConfig?: unknown;
  /** Hex SHA-256 over the spec, the weights' names and shapes, and the bytes of a few weights: equal for equal models. */
  readonly fingerprint: string;
  close(): Promise<void>;
}

/** `reference`: a folder, a .gguf file, or `owner/name[@revision][:file.gguf]`. Close the result when done. */
export async function openModel(reference: string, options: FetchOptions = {}): Promise<OpenModel> {
  const resolved = await resolveReference(reference);
  if (resolved.kind === "gguf") return openGgufModel(resolved.path, { reference, name: resolved.path });
  if (resolved.kind === "folder") return openFolder(resolved.path, { reference, name: resolved.path });
  const fetched = await fetchModel(resolved, options);
  const origin = { reference, name: fetched.id, revision: fetched.revision, commit: fetched.commit };
  return fetched.file === undefined
    ? openFolder(fetched.folder, origin)
    : openGgufModel(join(fetched.folder, fetched.file), origin);
}

interface Origin {
  readonly reference: string;
  readonly name: string;
  readonly revision?: string;
  readonly commit?: string;
}

async function openFolder(folder: string, origin: Origin): Promise<OpenModel> {
  const hasConfig = await isFile(join(folder, "config.json"));
  const hasWeights = (await isFile(join(folder, singleFile))) || (await isFile(join(folder, indexFile)));
  if (!hasConfig || !hasWeights) {
    const ggufs = (await readdir(folder)).filter((name) => /\.gguf$/i.test(name)).sort();
    if (ggufs.length === 1) return openGgufModel(join(folder, ggufs[0]!), origin);
    if (ggufs.length > 1) {
      throw new UserError(
        `the folder ${folder} holds ${ggufs.length} GGUF files: ${ggufs.slice(0, 12).join(", ")}`,
        {
          next: "Name one of them.",
        },
      );
    }
    if (await isAdapterFolder(folder)) {
      throw new UserError(`the folder ${folder} holds an adapter, not a model`, {
        next: "Name its base model.",
      });
    }
    if (!hasConfig) {
      throw new UserError(`the folder ${folder} holds no model: there is no config.json and no GGUF file`, {
        next: "Name a folder with config.json and safetensors, a .gguf file, or a repository as owner/name.",
      });
    }
  }
  const configPath = join(folder, "config.json");
  const spec = specFromConfig(await readJson(configPath), configPath);
  const store = await openCheckpoint(folder);
  try {
    checkWeights(spec, store, folder);
    const tokenizerPath = join(folder, "tokenizer.json");
    if (!(await isFile(tokenizerPath))) {
      throw new UserError(`the model folder ${folder} has no tokenizer.json`, {
        next: "Add the tokenizer.json that was published with the model.",
      });
    }
    const tokenizerConfig = await readJsonIfThere(join(folder, "tokenizer_config.json"));
    const chatTemplate = await readChatTemplate(folder);
    const generationConfig = await readJsonIfThere(join(folder, "generation_config.json"));
    return {
      ...origin,
      folder,
      spec,
      store,
      tokenizer: {
        kind: "files",
        tokenizerJson: await readJson(tokenizerPath),
        ...(tokenizerConfig === undefined ? {} : { tokenizerConfig }),
        at: tokenizerPath,
      },
      ...(chatTemplate === undefined ? {} : { chatTemplate }),
      ...(generationConfig === undefined ? {} : { generationConfig }),
      fingerprint: await fingerprint(spec, store),
      close: store.close,
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function openGgufModel(path: string, origin: Origin): Promise<OpenModel> {
  const gguf = await openGguf(path);
  const { store, vocabulary } = gguf;
  try {
    const spec = await specFromGguf(gguf);
    checkWeights(spec, store, path);
    if (vocabulary === undefined) {
      throw new UserError("the GGUF file holds no tokenizer", {
        at: path,
        next: "Take a complete file of this model.",
      });
    }
    return {
      ...origin,
      folder: dirname(path),
      file: basename(path),
      spec,
      store,
      tokenizer: { kind: "gguf", vocabulary, at: path },
      fingerprint: await fingerprint(spec, store),
      close: store.close,
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function readChatTemplate(folder: string): Promise<string | undefined> {
  const jinja = join(folder, "chat_template.jinja");
  if (await isFile(jinja)) return readTextFile(jinja, "the chat template");
  const path = join(folder, "chat_template.json");
  const json = await readJsonIfThere(path);
  if (json === undefined) return undefined;
  const template: unknown =
    typeof json === "object" && json !== null ? Reflect.get(json, "chat_template") : undefined;
  if (typeof template === "string") return template;
  throw new UserError("chat_template is missing or not text", { at: path });
}

async function readJson(path: string): Promise<unknown> {
  return parseJson(await readTextFile(path, "the file"), path);
}

async function readJsonIfThere(path: string): Promise<unknown> {
  return (await isFile(path)) ? readJson(path) : undefined;
}

/**
 * Value projections of the first and last layer and the last norm: small matrices that any further training of the
 * model changes. Reading all weights would take longer than many runs need to start.
 */
async function fingerprint(spec: ModelSpec, store: WeightStore): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(spec));
  for (const name of [...store.names()].sort()) {
    const { storage, shape } = store.info(name);
    hash.update(`\n${name} ${storage} ${shape.join()}`);
  }
  const sampled = [
    "model.layers.0.self_attn.v_proj.weight",
    `model.layers.${spec.layers - 1}.self_attn.v_proj.weight`,
    "model.norm.weight",
  ];
  for (const name of sampled) hash.update((await store.readRaw(name)).bytes);
  return hash.digest("hex");
}
