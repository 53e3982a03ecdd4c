/** Whole files of a size that a report may hold in memory. */
import { stat } from "node:fs/promises";
import { UserError, errorCode, explainReadError, formatBytes, readTextFile } from "../../util/index.ts";

const most = 64 * 2 ** 20;

/** Text of `path`; a `UserError` when it is missing, no file, or larger than 64 MiB. */
export async function readBoundedFile(path: string, what: string): Promise<string> {
  await refuseLarge(path, what);
  return readTextFile(path, what);
}

export async function refuseLarge(path: string, what: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw explainReadError(error, path, what);
  });
  if (found.isFile() && found.size > most) {
    throw new UserError(
      `${what} ${path} has ${formatBytes(found.size)}; a report reads up to ${formatBytes(most)}`,
      {
        next: "Check that it is the file you meant.",
      },
    );
  }
}

/** Whether something stands under `path`, whatever it is. */
export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => !["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? ""),
  );
}
