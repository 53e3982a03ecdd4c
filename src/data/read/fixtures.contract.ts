/** Helpers of this room's tests: files in a temporary folder, and everything that a reading gives. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
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

export interface ZipEntry {
  readonly name: string;
  readonly content: string | Uint8Array;
  readonly store?: boolean;
  /** Lies to tell in the archive's directory. */
  readonly declaredBytes?: number;
  readonly method?: number;
  readonly encrypted?: boolean;
}

/** A zip archive (APPNOTE 6.3, without zip64). */
export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const content = Buffer.from(entry.content as Uint8Array);
    const packed = entry.store === true ? content : deflateRawSync(content);
    const name = Buffer.from(entry.name);
    const header = Buffer.alloc(26);
    header.writeUInt16LE(20, 0);
    header.writeUInt16LE(0x800 + (entry.encrypted === true ? 1 : 0), 2);
    header.writeUInt16LE(entry.method ?? (entry.store === true ? 0 : 8), 4);
    header.writeUInt32LE(crc32(content), 10);
    header.writeUInt32LE(packed.length, 14);
    header.writeUInt32LE(entry.declaredBytes ?? content.length, 18);
    header.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\u0003\u0004"), header, name, packed]);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\u0001\u0002\u0014\u0000"), header, place, name]));
    bodies.push(local);
    offset += local.length;
  }
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(Buffer.concat(directory).length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...bodies, ...directory, Buffer.from("PK\u0005\u0006"), end]);
}
