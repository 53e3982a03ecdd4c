/** Counts tokens with a model's own tokenizer and chat template, for the report of a data set. */
import { basename, join, resolve } from "node:path";
import type { TokenCounter } from "../../data/index.ts";
import { chatTemplate, loadTokenizer } from "../../model/text/index.ts";
import { parseJson, readTextFile } from "../../util/index.ts";

/** `limit` overrides the model's own `max_position_embeddings`. */
export async function tokenCounter(folder: string, limit: number | undefined): Promise<TokenCounter> {
  const { tokenizer, chatTemplate: source } = await loadTokenizer(folder);
  const template = chatTemplate(source, tokenizer, { at: folder });
  const longest = limit ?? (await modelLimit(folder));
  return {
    model: basename(resolve(folder)),
    ...(longest === undefined ? {} : { limit: longest }),
    count: (messages) => tokenizer.encode(template.render(messages, { addGenerationPrompt: false })).length,
  };
}

async function modelLimit(folder: string): Promise<number | undefined> {
  const path = join(folder, "config.json");
  const text = await readTextFile(path, "the model's config").catch(() => undefined);
  if (text === undefined) return undefined;
  const limit = (parseJson(text, path) as { readonly max_position_embeddings?: unknown } | null)
    ?.max_position_embeddings;
  return typeof limit === "number" && Number.isSafeInteger(limit) && limit > 0 ? limit : undefined;
}
