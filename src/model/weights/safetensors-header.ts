/** The header of a safetensors file, checked as the reference implementation checks it. Source: huggingface/safetensors. */
import type { FileHandle } from "node:fs/promises";
import { UserError, formatBytes, formatCount } from "../../util/index.ts";

export interface SafetensorsEntry {
  readonly name: string;
  /** As the header spells it. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Byte offset in the file. */
  readonly position: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's bound. */
const mostHeaderBytes = 100_000_000;
const mostTensors = 1_000_000;
const mostDimensions = 32;

/** Bytes an element of every element type of the format; only some of them can be read. */
const elementBytes: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
  C64: 8,
};

export async function readSafetensorsHeader(file: FileHandle, path: string): Promise<SafetensorsHeader> {
  const { size: fileBytes } = await file.stat();
  if (fileBytes < 8) throw broken(`it has ${fileBytes} bytes, too few for a header`, path);
  const start = Buffer.alloc(8);
  await file.read(start, 0, 8, 0);
  const headerBytes = start.readBigUInt64LE(0);
  if (headerBytes > mostHeaderBytes) {
    throw broken(
      `its header claims ${headerBytes.toLocaleString("en-US")} bytes; at most ${formatCount(mostHeaderBytes)} are accepted`,
      path,
    );
  }
  const length = Number(headerBytes);
  if (8 + length > fileBytes) {
    throw broken(`its header needs ${8 + length} bytes, but the file has ${fileBytes}: it is cut off`, path);
  }
  const raw = Buffer.alloc(length);
  await file.read(raw, 0, length, 8);
  const text = raw.toString("utf8");
  const header = parseHeader(text, path);
  const metadata: Record<string, string> = {};
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") Object.assign(metadata, readMetadata(value, path));
    else entries.push(readEntry(name, value, 8 + length, path));
  }
  if (entries.length > mostTensors) {
    throw broken(
      `it names ${formatCount(entries.length)} tensors; at most ${formatCount(mostTensors)} are accepted`,
      path,
    );
  }
  checkLayout(entries, 8 + length, fileBytes, path);
  return { entries, metadata };
}

function parseHeader(text: string, path: string): Readonly<Record<string, unknown>> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw broken("its header is not JSON", path);
  }
  if (!text.startsWith("{") || !isRecord(header)) throw broken("its header is not a JSON object", path);
  // JSON.parse keeps the last of two equal keys; the format forbids them.
  const twice = repeatedKey(text);
  if (twice !== undefined) throw broken(`the name ${show(twice)} occurs twice`, path);
  return header;
}

/** The first key that an object of valid JSON repeats at its top level. */
function repeatedKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const match of text.matchAll(/[{}[\]]|"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/gs)) {
    const token = match[0];
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (depth === 1 && match[1] !== undefined) {
      const key = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string;
      if (seen.has(key)) return key;
      seen.add(key);
    }
  }
  return undefined;
}

function readMetadata(value: unknown, path: string): Readonly<Record<string, string>> {
  if (!isRecord(value) || Object.values(value).some((text) => typeof text !== "string")) {
    throw broken("its __metadata__ is not a map from text to text", path);
  }
  return value as Record<string, string>;
}

function readEntry(name: string, value: unknown, dataStart: number, path: string): SafetensorsEntry {
  if (!isRecord(value)) throw broken(`the entry ${show(name)} is not an object`, path);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") throw broken(`the entry ${show(name)} has no dtype`, path);
  if (!isSizes(shape) || shape.length > mostDimensions)
    throw broken(`the shape of ${show(name)} is not a list of sizes`, path);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw broken(`the data_offsets of ${show(name)} are not a range of bytes`, path);
  }
  const width = Object.hasOwn(elementBytes, dtype) ? elementBytes[dtype] : undefined;
  if (width === undefined)
    throw broken(`the tensor ${show(name)} has the unknown dtype ${show(dtype)}`, path);
  const [begin, end] = offsets as [number, number];
  const needed = shape.reduce((product, size) => product * size, width);
  if (end - begin !== needed) {
    throw broken(
      `the tensor ${show(name)}, ${dtype}[${shape.join(", ")}], needs ${needed} bytes, but its range has ${end - begin}`,
      path,
    );
  }
  return { name, dtype, shape, position: dataStart + begin, bytes: needed };
}

/** The data must be covered once, without overlap, hole or rest: what is hidden between tensors is not weights. */
function checkLayout(
  entries: readonly SafetensorsEntry[],
  dataStart: number,
  fileBytes: number,
  path: string,
): void {
  let end = dataStart;
  for (const entry of [...entries].sort((a, b) => a.position - b.position || a.bytes - b.bytes)) {
    if (entry.position < end) throw broken(`the tensor ${show(entry.name)} overlaps the one before it`, path);
    if (entry.position > end) throw broken(`there is a hole before the tensor ${show(entry.name)}`, path);
    end += entry.bytes;
  }
  if (end > fileBytes) {
    throw broken(
      `its tensors end at byte ${end}, but the file has ${fileBytes} (${formatBytes(fileBytes)}): it is cut off`,
      path,
    );
  }
  if (end < fileBytes)
    throw broken(`its last tensor ends at byte ${end}, but the file goes on to ${fileBytes}`, path);
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function broken(problem: string, path: string): UserError {
  return new UserError(`this is not a sound safetensors file: ${problem}`, {
    at: path,
    next: "Fetch the file again, or take another one.",
  });
}

function show(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 79)}…` : name);
}
