/** A safetensors checkpoint, one file or many with an index, as a WeightStore. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { UserError, errorCode, explainReadError, parseJson, readTextFile } from "../../util/index.ts";
import { type BlockRange, readFloat32, readRawBlocks } from "./read-blocks.ts";
import { readSafetensorsHeader } from "./safetensors-header.ts";
import type { StorageType } from "./storage-formats.ts";
import { type WeightInfo, type WeightStore, storeOver } from "./weight-store.ts";

export interface SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly store: WeightStore;
}

const readable: ReadonlySet<string> = new Set<StorageType>(["F32", "F16", "BF16"]);
const mostShards = 10_000;

/** Opens one file. Reads the header only; close `store` when done. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const [shard] = await openShards([path], path);
  return { path, metadata: shard!.metadata, store: shardStore(path, [shard!]) };
}

/**
 * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names, in `folder`.
 * Every shard's header is checked at once, so that a missing or cut-off shard shows before any work.
 */
export async function openCheckpoint(folder: string): Promise<WeightStore> {
  const single = join(folder, "model.safetensors");
  const indexPath = `${single}.index.json`;
  if (await exists(indexPath)) {
    const placed = readIndex(parseJson(await readTextFile(indexPath, "the index"), indexPath), indexPath);
    const files = [...new Set(placed.values())];
    const shards = await openShards(
      files.map((file) => join(folder, file)),
      indexPath,
    );
    try {
      checkPlaces(placed, shards, indexPath);
      return shardStore(folder, shards);
    } catch (error) {
      await Promise.all(shards.map((shard) => shard.file.close()));
      throw error;
    }
  }
  if (await exists(single)) return (await openSafetensors(single)).store;
  if (
    (await exists(join(folder, "pytorch_model.bin"))) ||
    (await exists(join(folder, "pytorch_model.bin.index.json")))
  ) {
    throw new UserError(
      `the folder ${folder} holds weights as PyTorch pickle files only, which are not read`,
      {
        next: "Save the model as safetensors, or name another checkpoint.",
      },
    );
  }
  throw new UserError(
    `the folder ${folder} holds no weights (model.safetensors or model.safetensors.index.json)`,
    {
      next: "Name a folder with a safetensors checkpoint, or a .gguf file.",
    },
  );
}

/** Whether a file is there; a shard link that leads nowhere counts as missing. */
async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The checkpoint's index: tensor name → shard file name. Names that leave the folder are refused. */
export function readIndex(index: unknown, at: string): ReadonlyMap<string, string> {
  const map: unknown =
    typeof index === "object" && index !== null ? Reflect.get(index, "weight_map") : undefined;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new UserError("the index of the checkpoint has no weight_map", {
      at,
      next: "Fetch the file again.",
    });
  }
  const placed = new Map<string, string>();
  for (const [name, file] of Object.entries(map as Record<string, unknown>)) {
    if (
      typeof file !== "string" ||
      file !== basename(file) ||
      !file.endsWith(".safetensors") ||
      file.includes("\\")
    ) {
      throw new UserError(`weight_map places ${name.slice(0, 80)} in ${JSON.stringify(file)?.slice(0, 80)}`, {
        at,
        next: "It must be the plain name of a .safetensors file beside the index.",
      });
    }
    placed.set(name, file);
  }
  if (placed.size === 0) throw new UserError("the weight_map of the index is empty", { at });
  if (new Set(placed.values()).size > mostShards) {
    throw new UserError(`the index names more than ${mostShards} shards`, { at });
  }
  return placed;
}

interface Shard {
  readonly path: string;
  readonly file: FileHandle;
  readonly metadata: Readonly<Record<string, string>>;
  readonly ranges: ReadonlyMap<string, { readonly info: WeightInfo; readonly position: number }>;
}

async function openShards(paths: readonly string[], at: string): Promise<readonly Shard[]> {
  const shards: Shard[] = [];
  try {
    for (const path of paths) {
      const file = await open(path, "r").catch((error: unknown) => {
        if (path === at || errorCode(error) !== "ENOENT") throw explainReadError(error, path, "the weights");
        throw new UserError(`the shard ${basename(path)}, which the index names, does not exist`, {
          at,
          next: "Fetch the missing file.",
        });
      });
      try {
        shards.push(await readShard(file, path));
      } catch (error) {
        await file.close();
        throw explainReadError(error, path, "the weights");
      }
    }
    return shards;
  } catch (error) {
    await Promise.all(shards.map((shard) => shard.file.close()));
    throw error;
  }
}

async function readShard(file: FileHandle, path: string): Promise<Shard> {
  const { entries, metadata } = await readSafetensorsHeader(file, path);
  const ranges = new Map(
    entries.map(({ name, dtype, shape, bytes, position }) => [
      name,
      { info: { storage: dtype, shape, bytes, readable: readable.has(dtype) }, position },
    ]),
  );
  return { path, file, metadata, ranges };
}

function checkPlaces(placed: ReadonlyMap<string, string>, shards: readonly Shard[], at: string): void {
  const byFile = new Map(shards.map((shard) => [basename(shard.path), shard]));
  for (const [name, file] of placed) {
    if (byFile.get(file)?.ranges.has(name) !== true) {
      throw new UserError(`the index places ${name} in ${file}, which does not hold it`, {
        at,
        next: "Index and shards are not of one download: fetch the checkpoint again.",
      });
    }
  }
  const seen = new Map<string, string>();
  for (const shard of shards) {
    for (const name of shard.ranges.keys()) {
      const other = seen.get(name);
      if (other !== undefined) {
        throw new UserError(`${name} stands in two shards, ${other} and ${basename(shard.path)}`, {
          at,
          next: "Fetch the checkpoint again.",
        });
      }
      seen.set(name, basename(shard.path));
    }
  }
}

function shardStore(at: string, shards: readonly Shard[]): WeightStore {
  const infos = new Map<string, WeightInfo>();
  const ranges = new Map<string, BlockRange>();
  for (const { file, path, ranges: here } of shards) {
    for (const [name, { info, position }] of here) {
      infos.set(name, info);
      ranges.set(name, { file, path, position, storage: info.storage as StorageType, shape: info.shape });
    }
  }
  return storeOver(at, infos, {
    read: (name) => readFloat32(ranges.get(name)!),
    readRaw: (name) => readRawBlocks(ranges.get(name)!),
    close: async () => {
      await Promise.all(shards.map((shard) => shard.file.close()));
    },
  });
}
