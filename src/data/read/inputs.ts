/** From what a user names (files, folders, globs, "-") to the files that are read, in a fixed order. */
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { UserError, explainReadError } from "../../util/index.ts";

export interface InputFile {
  /** "-" for standard input. */
  readonly path: string;
  readonly bytes: number | undefined;
  /** Named by itself: an unreadable one is an error. Others (of a folder or a glob) may be skipped. */
  readonly named: boolean;
}

export interface ExpandedInputs {
  readonly files: readonly InputFile[];
  /** Files of folders whose names say that they hold no rows. */
  readonly ignored: readonly string[];
}

const ROW_FILE = /\.(?:jsonl|ndjson|json|csv|tsv|parquet)(?:\.gz)?$|\.zip$/i;

/** Whether a file of a folder or an archive may hold rows, by its name. */
export function looksLikeRows(path: string): boolean {
  const name = basename(path);
  return ROW_FILE.test(name) && !name.startsWith(".") && !path.split(/[\\/]/).includes("__MACOSX");
}

/** `accepts`: which files of a folder are read, by their names. */
export async function expandInputs(
  inputs: readonly string[],
  accepts: (path: string) => boolean = looksLikeRows,
): Promise<ExpandedInputs> {
  if (inputs.length === 0)
    throw new UserError("no input is named", { next: "Name a file, a folder, a glob or -." });
  const files: InputFile[] = [];
  const ignored: string[] = [];
  const seen = new Set<string>();
  const add = async (path: string, named: boolean): Promise<void> => {
    const real = path === "-" ? "-" : await realpath(path);
    if (seen.has(real)) return;
    seen.add(real);
    files.push({ path, bytes: path === "-" ? undefined : (await stat(path)).size, named });
  };
  for (const input of inputs) {
    if (input === "-") {
      await add("-", true);
      continue;
    }
    const found = await statOf(input);
    if (found === undefined && /[*?[{]/.test(input)) {
      const matches = await glob(input);
      if (matches.length === 0)
        throw new UserError(`no file matches ${input}`, { next: "Check the pattern." });
      for (const match of matches) await add(match, false);
    } else if (found === undefined) {
      throw explainReadError(Object.assign(new Error("ENOENT"), { code: "ENOENT" }), input, "the input");
    } else if (found === "folder") {
      const before = files.length;
      for (const path of await walk(input)) {
        if (accepts(path)) await add(path, false);
        else ignored.push(path);
      }
      if (files.length === before) {
        throw new UserError(`the folder ${input} holds no file of rows`, {
          next: "Rows come in .jsonl, .json, .csv, .tsv, .parquet (also .gz) and .zip.",
        });
      }
    } else await add(input, true);
  }
  return { files, ignored };
}

async function statOf(path: string): Promise<"file" | "folder" | undefined> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (error) {
    if (
      error instanceof Error &&
      "code" in error &&
      ["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(String(error.code))
    ) {
      return undefined;
    }
    throw explainReadError(error, path, "the input");
  }
}

/** All files below a folder, sorted by code unit so that every machine reads them in one order. */
async function walk(folder: string, visited = new Set<string>()): Promise<string[]> {
  const real = await realpath(folder);
  if (visited.has(real)) return [];
  visited.add(real);
  const names = (
    await readdir(folder).catch((error: unknown) => {
      throw explainReadError(error, folder, "the folder");
    })
  ).sort();
  const paths: string[] = [];
  for (const name of names) {
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    const kind = await statOf(path);
    if (kind === "folder") paths.push(...(await walk(path, visited)));
    else if (kind === "file") paths.push(path);
  }
  return paths;
}

/** Files that match a pattern with *, **, ?, [a-z] and {a,b}. */
async function glob(pattern: string): Promise<string[]> {
  const parts = pattern.split(/[\\/]/);
  const fixed = parts.findIndex((part) => /[*?[{]/.test(part));
  const root = parts.slice(0, fixed).join(sep) || (pattern.startsWith("/") ? "/" : ".");
  if ((await statOf(root)) !== "folder") return [];
  const matcher = globPattern(parts.slice(fixed).join("/"));
  return (await walk(root)).filter((path) => {
    const relative = root === "." ? path : path.slice(root.length).replace(/^[\\/]+/, "");
    return matcher.test(relative.split(sep).join("/"));
  });
}

function globPattern(pattern: string): RegExp {
  let source = "";
  let braces = 0;
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i);
    if (pattern.startsWith("**/", i)) {
      source += "(?:[^/]+/)*";
      i += 2;
    } else if (char === "*") {
      while (pattern.charAt(i + 1) === "*") i += 1;
      source += "[^/]*";
    } else if (char === "?") source += "[^/]";
    else if (char === "{") {
      braces += 1;
      source += "(?:";
    } else if (char === "}" && braces > 0) {
      braces -= 1;
      source += ")";
    } else if (char === "," && braces > 0) source += "|";
    else if (char === "[" && pattern.indexOf("]", i + 2) > 0) {
      const end = pattern.indexOf("]", i + 2);
      const set = pattern
        .slice(i + 1, end)
        .replace(/^!/, "^")
        .replaceAll("\\", "\\\\")
        .replaceAll("[", "\\[");
      source += `[${set}]`;
      i = end;
    } else source += char.replace(/[.+^${}()|[\]\\]/, "\\$&");
  }
  try {
    return new RegExp(`^${source}$`);
  } catch (error) {
    throw new UserError(`${pattern} is no pattern that can be read`, {
      next: "Check its brackets.",
      cause: error,
    });
  }
}
