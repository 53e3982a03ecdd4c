/** A GGUF file as a WeightStore with the checkpoint's names, shapes and row order, and its metadata beside it. */
import { type FileHandle, open } from "node:fs/promises";
import { explainReadError } from "../../util/index.ts";
import { type GgufValue, brokenGguf } from "./gguf-cursor.ts";
import { type GgufTensor, readGgufHeader } from "./gguf-header.ts";
import { checkpointName, uninterleaveRows } from "./gguf-names.ts";
import { type GgufVocabularyData, ggufVocabulary } from "./gguf-vocabulary.ts";
import { type BlockRange, readFloat32, readRawBlocks } from "./read-blocks.ts";
import { storageBytes } from "./storage-formats.ts";
import { type WeightInfo, type WeightStore, storeOver } from "./weight-store.ts";

export interface GgufFile {
  readonly path: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Absent when the file carries no tokenizer. */
  readonly vocabulary?: GgufVocabularyData;
  /** Names as in a Hugging Face checkpoint; tensors without a counterpart (`rope_freqs.weight`) keep theirs. */
  readonly store: WeightStore;
}

/** Parses the header only; tensors are read on demand. Close `store` when done. */
export async function openGguf(path: string): Promise<GgufFile> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw explainReadError(error, path, "the model");
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw brokenGguf("it is not a file", path);
    const { version, metadata, tensors } = readGgufHeader(file.fd, path, stat.size);
    const vocabulary = ggufVocabulary(metadata, path);
    return {
      path,
      version,
      metadata,
      ...(vocabulary === undefined ? {} : { vocabulary }),
      store: ggufStore(file, path, metadata, tensors),
    };
  } catch (error) {
    await file.close();
    throw explainReadError(error, path, "the model");
  }
}

function ggufStore(
  file: FileHandle,
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): WeightStore {
  const infos = new Map<string, WeightInfo>();
  const ranges = new Map<string, BlockRange>();
  for (const tensor of tensors) {
    const name = checkpointName(tensor.name);
    const { shape, storage, position } = tensor;
    if (infos.has(name)) throw brokenGguf(`two tensors stand for ${name}`, path);
    const elements = shape.reduce((product, size) => product * size, 1);
    infos.set(name, { storage, shape, bytes: storageBytes(storage, elements), readable: true });
    const rowTarget = rowOrder(name, shape, metadata, path);
    ranges.set(name, {
      file,
      path,
      position,
      storage,
      shape,
      ...(rowTarget === undefined ? {} : { rowTarget }),
    });
  }
  return storeOver(path, infos, {
    read: (name) => readFloat32(ranges.get(name)!),
    readRaw: (name) => readRawBlocks(ranges.get(name)!),
    close: () => file.close(),
  });
}

function rowOrder(
  name: string,
  shape: readonly number[],
  metadata: ReadonlyMap<string, GgufValue>,
  path: string,
): ((row: number) => number) | undefined {
  if (metadata.get("general.architecture") !== "llama") return undefined;
  const projection = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(name)?.[1];
  if (projection === undefined) return undefined;
  const heads = metadata.get("llama.attention.head_count");
  const headsHere = projection === "q" ? heads : (metadata.get("llama.attention.head_count_kv") ?? heads);
  const rows = shape[0] ?? 0;
  if (typeof headsHere !== "number" || headsHere < 1 || rows % (2 * headsHere) !== 0) {
    throw brokenGguf(
      `${name} has ${rows} rows, which ${String(headsHere).slice(0, 40)} heads cannot share`,
      path,
    );
  }
  return uninterleaveRows(rows, headsHere);
}
