/** Which files of a repository a model needs: never all of them. */
import { UserError, formatBytes, nearest } from "../../util/index.ts";
import type { RemoteFile } from "./listing.ts";

/** Beside the weights: what the model is, its tokenizer, its chat template, its stop tokens. */
const companions = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
]);

export const indexFile = "model.safetensors.index.json";
export const singleFile = "model.safetensors";

export type Selection =
  | { readonly kind: "gguf"; readonly file: RemoteFile }
  | {
      readonly kind: "checkpoint";
      readonly companions: readonly RemoteFile[];
      /** Present when the weights are sharded: it names the shards. */
      readonly index?: RemoteFile;
      /** Present when they are not. */
      readonly weights?: RemoteFile;
    };

/** `wanted`: the file that the user named. */
export function selectFiles(files: readonly RemoteFile[], id: string, wanted?: string): Selection {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const ggufs = files.filter((file) => /\.gguf$/i.test(file.path));
  if (wanted !== undefined) {
    const file = byPath.get(wanted);
    if (file !== undefined && /\.gguf$/i.test(wanted)) return { kind: "gguf", file };
    const near = nearest(
      wanted,
      ggufs.map((gguf) => gguf.path),
    );
    throw new UserError(
      file === undefined ? `${id} has no file ${wanted}` : `${wanted} of ${id} is not a .gguf file`,
      { next: near === undefined ? "Name one of its .gguf files." : `Did you mean ${near}?` },
    );
  }
  const index = byPath.get(indexFile);
  const weights = byPath.get(singleFile);
  if (byPath.has("config.json") && (index !== undefined || weights !== undefined)) {
    return {
      kind: "checkpoint",
      companions: files.filter((file) => companions.has(file.path)),
      ...(weights !== undefined ? { weights } : index !== undefined ? { index } : {}),
    };
  }
  if (ggufs.length === 1) return { kind: "gguf", file: ggufs[0]! };
  if (ggufs.length > 1) {
    const shown = ggufs
      .slice(0, 12)
      .map((file) => (file.bytes === undefined ? file.path : `${file.path} (${formatBytes(file.bytes)})`));
    throw new UserError(
      `${id} holds ${ggufs.length} GGUF files: ${shown.join(", ")}${ggufs.length > 12 ? " …" : ""}`,
      {
        next: `Name one, as ${id}:${ggufs[0]!.path}`,
      },
    );
  }
  if (byPath.has("adapter_config.json")) {
    throw new UserError(`${id} is an adapter, not a model`, { next: "Name its base model." });
  }
  if (files.some((file) => /^pytorch_model.*\.bin$/.test(file.path))) {
    throw new UserError(`${id} holds weights as PyTorch pickle files only, which are not read`, {
      next: "Take a repository with safetensors or GGUF files.",
    });
  }
  throw new UserError(`${id} holds no model: neither config.json with safetensors, nor a GGUF file`, {
    next: "Check the name.",
  });
}
