/** A whole trained model as the folder that transformers and Attune open. */
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ChatModel } from "../model/index.ts";
import { configFromSpec } from "../model/decoder/index.ts";
import { tokenizerFiles } from "../model/text/index.ts";
import { type Adapter, toWrite, writeSafetensors } from "../model/weights/index.ts";
import { writeFileAtomic, writeFolderAtomic } from "../util/index.ts";

const copied = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
] as const;

type SavedType = "float32" | "bfloat16" | "float16";
const storage = { float32: "F32", bfloat16: "BF16", float16: "F16" } as const;

/** Whether `folder` holds a model that training saved. */
export function isModelFolder(folder: string): Promise<boolean> {
  return isFile(join(folder, "config.json"));
}

/** Atomic: the folder appears complete, or the one before it stays. `weights` replaces every weight of the model. */
export async function saveModelFolder(
  folder: string,
  { opened, spec, renderer }: ChatModel,
  { replaced }: Pick<Adapter, "replaced">,
  dtype: SavedType,
  extraFiles: Readonly<Record<string, string>>,
): Promise<void> {
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const files = new Map<string, string>([
    ["config.json", json(configFromSpec(spec, dtype))],
    [
      "generation_config.json",
      json({ eos_token_id: renderer.stopIds, ...(opened.generationConfig as object | undefined) }),
    ],
    ...Object.entries(extraFiles),
  ]);
  const own = opened.tokenizer.kind === "files" && !renderer.vocabularyGrew;
  if (!own) {
    const { tokenizerJson, tokenizerConfig } = tokenizerFiles(renderer.tokenizer, renderer.template);
    files.set("tokenizer.json", json(tokenizerJson));
    files.set("tokenizer_config.json", json(tokenizerConfig));
  }
  await writeFolderAtomic(folder, async (temporary) => {
    const tensors = [...replaced!].map(([name, value]) => toWrite(name, value, storage[dtype]));
    await writeSafetensors(join(temporary, "model.safetensors"), tensors, { format: "pt" });
    for (const [name, content] of files) await writeFileAtomic(join(temporary, name), content);
    if (!own) return;
    for (const name of copied) {
      const path = join(opened.folder, name);
      if (await isFile(path)) await copyFile(path, join(temporary, name));
    }
  });
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
