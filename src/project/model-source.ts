/** "A run or a model": what a user names to talk to, opened with its adapter and checked against what it was trained on. */
import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { type ChatModel, openChatModel } from "../model/index.ts";
import { type FetchOptions, parseHubReference } from "../model/hub/index.ts";
import { type Adapter, isAdapterFolder, loadAdapter, readAdapterSettings } from "../model/weights/index.ts";
import { UserError, parseJson, readTextFile, sha256OfFile } from "../util/index.ts";
import { isModelFolder } from "./model-folder.ts";
import { isRunFolder, readRunManifest, runFolder } from "./run-folder.ts";

export interface ModelSource extends AsyncDisposable {
  readonly chat: ChatModel;
  readonly adapter?: Adapter;
  /** Short, for people and as the `system` of predictions. */
  readonly name: string;
  /** The base model as it was named. */
  readonly base: string;
  /** Hex SHA-256 over weights, text and adapter: equal for sources that reply alike. */
  readonly identity: string;
}

export interface ModelSourceOptions extends FetchOptions {
  /** Where the base model is, when it is not where the run or adapter says. */
  readonly base?: string;
}

/** Written beside the adapter by training. */
const notesSchema = z.object({
  schemaVersion: z.literal(1),
  separator: z.string().optional(),
  keepFirstTurns: z.int().min(0).max(100).optional(),
  slidingWindow: z.int().min(1).optional(),
  textFingerprint: z.string(),
  weightsFingerprint: z.string(),
});

/**
 * `reference`: a run folder (its base with its best adapter), an adapter folder, or a model. Errors are `UserError`s:
 * a run without an adapter, a base that is gone or is not the one that was trained on.
 */
export async function openModelSource(
  reference: string,
  options: ModelSourceOptions = {},
): Promise<ModelSource> {
  if (await isRunFolder(reference)) {
    const { adapter, model } = runFolder(reference);
    if (await isModelFolder(model)) {
      const { base, ...opening } = options;
      if (base !== undefined) {
        throw new UserError(`--base is for adapters; the run ${reference} trained a whole model`, {
          next: "Leave it out.",
        });
      }
      return openWhole(model, basename(resolve(reference)), opening);
    }
    if (!(await isAdapterFolder(adapter))) {
      throw new UserError(`the run ${reference} has no adapter yet`, {
        next: `Go on training with: attune train --resume ${reference}`,
      });
    }
    const base = options.base ?? (await baseOfRun(reference));
    return openAdapted(base, adapter, basename(resolve(reference)), options);
  }
  if (await isAdapterFolder(reference)) {
    const { config } = await readAdapterSettings(reference);
    const base = options.base ?? config.baseModel;
    if (base === undefined || base === "") {
      throw new UserError(`the adapter ${reference} does not name its base model`, {
        next: "Name it with --base.",
      });
    }
    return openAdapted(base, reference, basename(resolve(reference)), options);
  }
  if (options.base !== undefined) {
    throw new UserError(`--base is for a run or an adapter; ${reference} is neither`, {
      next: "Leave it out, or name the folder of a run.",
    });
  }
  return openWhole(reference, undefined, options);
}

/** A model without an adapter; one that training saved says how it is to be opened. */
async function openWhole(
  reference: string,
  name: string | undefined,
  options: FetchOptions,
): Promise<ModelSource> {
  const { separator, keepFirstTurns } = (await readNotes(join(reference, "attune.json"))) ?? {};
  const chat = await openChatModel(reference, {
    ...options,
    ...(separator === undefined ? {} : { separator }),
    ...(keepFirstTurns === undefined ? {} : { keepFirstTurns }),
  });
  const fromHub = chat.opened.name.includes("/") && chat.opened.commit !== undefined;
  return {
    chat,
    name: name ?? (fromHub ? chat.opened.name : baseName(chat)),
    base: reference,
    identity: identityOf(chat, ""),
    [Symbol.asyncDispose]: chat.close,
  };
}

function identityOf({ opened, renderer, spec }: ChatModel, adapter: string): string {
  const window = spec.slidingWindow === opened.spec.slidingWindow ? [] : [spec.slidingWindow];
  return createHash("sha256")
    .update(JSON.stringify([opened.fingerprint, renderer.fingerprint, adapter, ...window]))
    .digest("hex");
}

function baseName({ opened: { name } }: ChatModel): string {
  return basename(resolve(name)).replace(/\.gguf$/i, "");
}

/** The reference that the run was started with; one from a hub is pinned to the commit that it was trained on. */
async function baseOfRun(run: string): Promise<string> {
  const { model } = await readRunManifest(run);
  const known = z.object({ reference: z.string(), commit: z.string().optional() }).safeParse(model);
  if (!known.success) {
    throw new UserError("the run does not say which model it was trained on", {
      at: join(run, "run.json"),
      next: "Name the base model with --base.",
    });
  }
  const { reference, commit } = known.data;
  if (commit === undefined) return reference;
  const { id, file } = parseHubReference(reference);
  return `${id}@${commit}${file === undefined ? "" : `:${file}`}`;
}

async function openAdapted(
  base: string,
  folder: string,
  name: string,
  options: ModelSourceOptions,
): Promise<ModelSource> {
  const notes = await readNotes(join(folder, "attune.json"));
  const { separator, keepFirstTurns, slidingWindow } = notes ?? {};
  const chat = await openChatModel(base, {
    ...options,
    ...(separator === undefined ? {} : { separator }),
    ...(keepFirstTurns === undefined ? {} : { keepFirstTurns }),
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
  });
  try {
    if (notes !== undefined) refuseOther(notes, chat, base);
    return {
      chat,
      adapter: await loadAdapter(folder, chat.store),
      name,
      base,
      identity: identityOf(chat, await sha256OfFile(join(folder, "adapter_model.safetensors"))),
      [Symbol.asyncDispose]: chat.close,
    };
  } catch (error) {
    await chat.close();
    throw error;
  }
}

async function readNotes(path: string): Promise<z.output<typeof notesSchema> | undefined> {
  let text: string;
  try {
    text = await readTextFile(path, "the adapter's notes");
  } catch (error) {
    // Adapters of other trainers have none.
    if (error instanceof UserError && error.message.includes("does not exist")) return undefined;
    throw error;
  }
  const notes = notesSchema.safeParse(parseJson(text, path));
  if (notes.success) return notes.data;
  throw new UserError("the adapter's notes cannot be read", {
    at: path,
    next: "Update Attune, or restore the file.",
    cause: notes.error,
  });
}

function refuseOther(
  notes: z.output<typeof notesSchema>,
  { opened, renderer }: ChatModel,
  base: string,
): void {
  if (opened.fingerprint !== notes.weightsFingerprint) {
    throw new UserError(`the weights of ${base} are not those that the adapter was trained on`, {
      next: "Restore the model, or name the right one with --base.",
    });
  }
  if (renderer.fingerprint !== notes.textFingerprint) {
    throw new UserError(
      `the chat template or special tokens of ${base} are not those that the adapter was trained with`,
      {
        at: opened.tokenizer.at,
        next: "Restore the model's tokenizer files, or name the right one with --base.",
      },
    );
  }
}
