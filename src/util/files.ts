/** Files written so that a reader never sees half of one: a temporary name, fsync, then rename. */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError, errorCode } from "./errors.ts";

/** Writes `content` under `path` atomically; on failure nothing is left under `path` that was not there before. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await writeAtomic(path, async (file) => {
    await file.writeFile(content);
  });
}

/** Lets `write` fill a temporary file, then makes it durable and gives it its final name. */
export async function writeAtomic(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await makeFolder(folder);
    const file = await open(temporary, "wx").catch((error: unknown) => {
      // The folder is there, but no file comes into being in it: as below /proc.
      throw errorCode(error) === "ENOENT" ? takesNothing(folder, path, error) : error;
    });
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    // What stood in the way of writing stands in the way of removing, too; the first error is the one to tell.
    await rm(temporary, { force: true }).catch(() => {});
    throw explainWriteError(error, path);
  }
}

/**
 * Makes a folder and those it stands in, where they are missing. Node's own recursion never ends where a file system
 * answers that an ancestor is missing which is there, as /proc does: here that is a `UserError`.
 */
export async function makeFolder(path: string): Promise<void> {
  const made = await tryFolder(path);
  if (made === undefined) return;
  const parent = dirname(path);
  if (errorCode(made) !== "ENOENT" || parent === path) throw made;
  await makeFolder(parent);
  const again = await tryFolder(path);
  if (again === undefined) return;
  throw errorCode(again) === "ENOENT" ? takesNothing(parent, path, again) : again;
}

/** `undefined` when the folder is there, by us or by somebody else; else what stood in the way. */
async function tryFolder(path: string): Promise<unknown> {
  try {
    await mkdir(path);
    return undefined;
  } catch (error) {
    const found = await stat(path).catch(() => undefined);
    return found?.isDirectory() === true ? undefined : error;
  }
}

function takesNothing(folder: string, path: string, cause: unknown): UserError {
  return new UserError(`cannot write ${path}: the file system of ${folder} takes no new files or folders`, {
    next: "Choose another folder.",
    cause,
  });
}

/** Makes a rename inside `folder` durable. Platforms that cannot open folders skip it. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!["EISDIR", "EPERM", "EACCES", "EINVAL"].includes(errorCode(error) ?? "")) throw error;
  }
}

/** A write failure in words: which file, what stood in the way, what to do. */
export function explainWriteError(error: unknown, path: string): unknown {
  switch (errorCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new UserError(`the disk is full: cannot write ${path}`, {
        next: "Free some space or choose another folder, then run the same command again.",
        cause: error,
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new UserError(`no permission to write ${path}`, {
        next: "Choose a folder you may write to.",
        cause: error,
      });
    case "ENOTDIR":
    case "EISDIR":
    case "EEXIST":
      return new UserError(`cannot write ${path}: a file or folder of that name is in the way`, {
        next: "Move it away or choose another name.",
        cause: error,
      });
    default:
      return error;
  }
}

/** Reads a text file; a missing or unreadable one is a `UserError` that names `what` it should have been. */
export async function readTextFile(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw explainReadError(error, path, what);
  }
}

/** A read failure in words. `what` is a noun such as "the config". */
export function explainReadError(error: unknown, path: string, what: string): unknown {
  switch (errorCode(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return new UserError(`${what} ${path} does not exist`, { next: "Check the path.", cause: error });
    case "ENAMETOOLONG":
    case "ELOOP":
      return new UserError(`${what} ${path.slice(0, 200)} is no path that can be opened`, {
        next: "Check the path.",
        cause: error,
      });
    case "EISDIR":
      return new UserError(`${what} ${path} is a folder, not a file`, {
        next: "Name the file inside it.",
        cause: error,
      });
    case "EACCES":
    case "EPERM":
      return new UserError(`no permission to read ${what} ${path}`, { cause: error });
    default:
      return error;
  }
}

/** SHA-256 of a file, as lower-case hex, read as a stream. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/**
 * Lets `fill` write into a temporary folder beside `path`, makes it durable and gives it its final name. A folder that
 * was there is replaced; on failure it stays as it was.
 */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  const mark = randomBytes(6).toString("hex");
  const temporary = join(parent, `.${basename(path)}.${mark}.tmp`);
  const previous = join(parent, `.${basename(path)}.${mark}.old`);
  try {
    await makeFolder(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    const replaced = await renameIfThere(path, previous);
    try {
      await rename(temporary, path);
    } catch (error) {
      if (replaced) await rename(previous, path);
      throw error;
    }
    await syncFolder(parent);
    await rm(previous, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explainWriteError(error, path);
  }
}

/** Mends what a killed process left of a `writeFolderAtomic`: the earlier folder comes back where there is none. */
export async function recoverFolder(path: string): Promise<void> {
  const parent = dirname(path);
  const left = (await readdir(parent).catch(() => [] as string[])).filter(
    (name) => name.startsWith(`.${basename(path)}.`) && /\.[0-9a-f]{12}\.(tmp|old)$/.test(name),
  );
  const previous = left.find((name) => name.endsWith(".old"));
  if (previous !== undefined && !(await isThere(path))) await rename(join(parent, previous), path);
  for (const name of left) await rm(join(parent, name), { recursive: true, force: true });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Renames and says whether there was something to rename. */
export async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
