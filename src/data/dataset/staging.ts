/** A folder that appears whole or not at all: filled under a temporary name beside its place, then renamed. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UserError, errorCode, explainWriteError, syncFolder, makeFolder } from "../../util/index.ts";

export interface StagedFolder {
  /** Where to write; on the same file system as the final place. */
  readonly path: string;
  /** Gives the folder its final name, replacing what stood there if that was allowed. */
  commit(): Promise<void>;
  /** Removes everything; harmless after `commit`. */
  discard(): Promise<void>;
}

/**
 * Opens a staging folder for `folder`. What already stands under the name is refused, unless it is empty, or it is a
 * data set and `overwrite` is set: a slip of the pen must not replace a folder of something else.
 */
export async function stageFolder(
  folder: string,
  options: { readonly overwrite: boolean; readonly marker: string },
): Promise<StagedFolder> {
  const final = resolve(folder);
  await refuseOccupied(final, folder, options);
  const parent = dirname(final);
  const suffix = randomBytes(6).toString("hex");
  const path = join(parent, `.${basename(final)}.${suffix}.tmp`);
  try {
    await makeFolder(parent);
    await mkdir(path);
  } catch (error) {
    throw explainWriteError(error, folder);
  }
  return {
    path,
    commit: async () => {
      await syncFolder(path);
      // Looked at again: something may have been put there meanwhile.
      await refuseOccupied(final, folder, options);
      const old = join(parent, `.${basename(final)}.${suffix}.old`);
      try {
        const replaced = await renameIfThere(final, old);
        try {
          await rename(path, final);
        } catch (error) {
          if (replaced) await rename(old, final);
          throw error;
        }
        await syncFolder(parent);
        if (replaced) await rm(old, { recursive: true, force: true });
      } catch (error) {
        throw explainWriteError(error, folder);
      }
    },
    discard: () => rm(path, { recursive: true, force: true }),
  };
}

async function refuseOccupied(
  final: string,
  folder: string,
  options: { readonly overwrite: boolean; readonly marker: string },
): Promise<void> {
  const found = await stat(final).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return undefined;
    throw explainWriteError(error, folder);
  });
  if (found === undefined) return;
  if (!found.isDirectory()) {
    throw new UserError(`${folder} is a file; a data set is a folder`, {
      next: "Choose another name for --out.",
    });
  }
  if ((await readdir(final)).length === 0) return;
  const isDataset = await readFile(join(final, options.marker)).then(
    () => true,
    () => false,
  );
  if (!isDataset) {
    throw new UserError(`${folder} exists and is not a data set, so it is never replaced`, {
      next: "Choose another name for --out.",
    });
  }
  if (!options.overwrite) {
    throw new UserError(`${folder} already holds a data set`, {
      next: "Choose another name for --out, or replace it with --force.",
    });
  }
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
