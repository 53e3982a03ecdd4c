/** The cache folder that huggingface_hub keeps too: blobs by hash, snapshots of links by commit, refs by branch. */
import { randomBytes } from "node:crypto";
import { copyFile, readFile, readdir, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, dirname, join, posix } from "node:path";
import { errorCode, explainWriteError, parseJson, writeFileAtomic, makeFolder } from "../../util/index.ts";
import { readIndex } from "../weights/index.ts";
import { isSafePath } from "./reference.ts";
import { indexFile, singleFile } from "./select-files.ts";

export interface RepositoryCache {
  readonly folder: string;
  blob(hash: string): string;
  snapshot(commit: string): string;
  lock(): string;
  /** The commit that a branch or tag last meant, if known. */
  readRef(revision: string): Promise<string | undefined>;
  writeRef(revision: string, commit: string): Promise<void>;
  /** Makes `path` of the snapshot stand for the blob. */
  link(commit: string, path: string, hash: string): Promise<void>;
}

export function repositoryCache(cacheFolder: string, id: string): RepositoryCache {
  const name = `models--${id.replaceAll("/", "--")}`;
  const folder = join(cacheFolder, name);
  const cache: RepositoryCache = {
    folder,
    blob: (hash) => join(folder, "blobs", hash),
    snapshot: (commit) => join(folder, "snapshots", commit),
    lock: () => join(cacheFolder, ".locks", name, "attune.lock"),
    readRef: async (revision) => {
      if (!isSafePath(revision)) return undefined;
      const text = await readFile(join(folder, "refs", revision), "utf8").catch(() => "");
      return /^[0-9a-f]{40}$/.test(text.trim()) ? text.trim() : undefined;
    },
    writeRef: async (revision, commit) => {
      if ((await cache.readRef(revision)) !== commit)
        await writeFileAtomic(join(folder, "refs", revision), commit);
    },
    link: async (commit, path, hash) => {
      const target = join(cache.snapshot(commit), path);
      const up = "../".repeat(path.split("/").length + 1);
      await place(target, cache.blob(hash), posix.join(up, "blobs", hash));
    },
  };
  return cache;
}

/** A link where the system has links, else a copy; either way in one step under its final name. */
async function place(target: string, blob: string, linkTo: string): Promise<void> {
  if (await isFile(target)) return;
  const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await makeFolder(dirname(target));
    try {
      await symlink(linkTo, temporary, "file");
    } catch (error) {
      if (!["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "UNKNOWN"].includes(errorCode(error) ?? ""))
        throw error;
      await copyFile(blob, temporary);
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw explainWriteError(error, target);
  }
}

export async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** What a snapshot lacks to be opened without a hub; `undefined` when nothing. `file`: the GGUF that is wanted. */
export async function missingFromSnapshot(folder: string, file?: string): Promise<string | undefined> {
  if (file !== undefined) return (await isFile(join(folder, file))) ? undefined : file;
  const names = await readdir(folder).catch(() => [] as string[]);
  if (!names.includes("config.json")) {
    return names.filter((name) => /\.gguf$/i.test(name)).length === 1 ? undefined : "config.json";
  }
  if (await isFile(join(folder, singleFile))) return undefined;
  const indexPath = join(folder, indexFile);
  const text = await readFile(indexPath, "utf8").catch(() => undefined);
  if (text === undefined) return singleFile;
  for (const shard of new Set(readIndex(parseJson(text, indexPath), indexPath).values())) {
    if (!(await isFile(join(folder, shard)))) return shard;
  }
  return undefined;
}
