/** Helpers of this room's tests: files in a temporary folder, and everything that a reading gives. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { DialogueRecord, Rejection } from "../record.ts";
import { readSources } from "./read-sources.ts";
import type { ReadOptions, ReadReport } from "./types.ts";

export interface Everything {
  readonly records: readonly DialogueRecord[];
  readonly rejections: readonly Rejection[];
  readonly report: ReadReport;
}

export async function readEverything(
  inputs: readonly string[],
  options: ReadOptions = {},
): Promise<Everything> {
  const reading = readSources(inputs, options);
  const records: DialogueRecord[] = [];
  const rejections: Rejection[] = [];
  for await (const result of reading) {
    if (result.kind === "record") records.push(result.record);
    else rejections.push(result.rejection);
  }
  return { records, rejections, report: reading.report };
}

/** Runs `use` with a folder that holds `files` and is removed afterwards. */
export async function withFiles<T>(
  files: Readonly<Record<string, string | Uint8Array>>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "attune-read-"));
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Reads one file of the given name and content. */
export async function readFileOf(
  name: string,
  content: string | Uint8Array,
  options: ReadOptions = {},
): Promise<Everything> {
  return await withFiles({ [name]: content }, (folder) => readEverything([join(folder, name)], options));
}

/** JSON lines of `rows`. */
export function jsonLines(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}
