/** Parquet, one row group at a time, with every count and offset of its footer checked first. */
import { open } from "node:fs/promises";
import * as zlib from "node:zlib";
import {
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type AsyncBuffer,
  type ColumnMetaData,
  type Compressors,
  type FileMetaData,
  type SchemaTree,
} from "hyparquet";
import { UserError, errorMessage, formatBytes, formatCount } from "../../../util/index.ts";
import { INVALID_BYTES } from "../encoding.ts";
import { safeJson } from "../fault.ts";
import { checkPages, type LeafColumn } from "./parquet-pages.ts";
import type { Row } from "./rows.ts";

const NEXT = "Download or write the file again.";
/** Unpacked bytes of one row group that are held in memory at once. */
const MAX_GROUP_BYTES = 2 ** 31 - 1;
const MAX_COLUMNS = 2_000;
/** Values of one column in one row group: run lengths can claim any number of them in a few bytes. */
const MAX_VALUES = 2 ** 25;

export interface ParquetSource extends AsyncBuffer {
  close(): Promise<void>;
}

/** A file that is read by position, never whole. */
export async function parquetFile(path: string): Promise<ParquetSource> {
  const file = await open(path, "r");
  const { size } = await file.stat();
  return {
    byteLength: size,
    async slice(start, end = size) {
      const length = Math.max(0, Math.min(end, size) - start);
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, start);
      if (bytesRead < length) throw new Error("the file is shorter than its footer says");
      return bytes.buffer;
    },
    close: () => file.close(),
  };
}

export function parquetBytes(bytes: Buffer): ParquetSource {
  return {
    byteLength: bytes.length,
    slice: (start, end = bytes.length) => new Uint8Array(bytes.subarray(start, end)).slice().buffer,
    close: async () => {},
  };
}

/** Yields the rows of each row group. `name` stands in errors. */
export async function* parquetRows(
  source: ParquetSource,
  name: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<readonly Row[]> {
  const metadata = await readFooter(source, name);
  let from = 0;
  for (const [i, group] of metadata.row_groups.entries()) {
    const to = from + Number(group.num_rows);
    const rows = await readGroup(source, metadata, i, from, to).catch((error: unknown) => {
      const where = `row group ${i + 1} of ${name} (rows ${formatCount(from + 1)} to ${formatCount(to)})`;
      throw new UserError(`${where} cannot be read: ${errorMessage(error)}`, { next: NEXT, cause: error });
    });
    if (rows.length !== to - from) {
      throw new UserError(
        `row group ${i + 1} of ${name} has ${rows.length} rows where its footer says ${to - from}`,
        { next: NEXT },
      );
    }
    yield rows.map((value, row) => toRow(value, from + row + 1));
    onBytes(Number(group.total_compressed_size ?? group.total_byte_size));
    from = to;
  }
}

async function readGroup(
  file: ParquetSource,
  metadata: FileMetaData,
  group: number,
  rowStart: number,
  rowEnd: number,
): Promise<readonly Record<string, unknown>[]> {
  const leaves = leafColumns(metadata);
  for (const { meta_data: column } of metadata.row_groups[group]!.columns) {
    if (column === undefined) continue;
    const begin = Math.min(
      Number(column.dictionary_page_offset ?? Infinity) || Infinity,
      Number(column.data_page_offset),
    );
    const chunk = await file.slice(begin, begin + Number(column.total_compressed_size));
    checkPages(chunk, column, leaves.get(pathOf(column))!, COMPRESSORS, {
      values: MAX_VALUES,
      bytes: MAX_GROUP_BYTES,
    });
  }
  return await parquetReadObjects({
    file,
    metadata,
    rowStart,
    rowEnd,
    compressors: COMPRESSORS,
    parsers: { stringFromBytes: textOf },
  });
}

/** Invalid UTF-8 is marked as everywhere else; the library would put U+FFFD without a word. */
function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes).replaceAll("\ufffd", INVALID_BYTES);
  }
}

function toRow(value: Record<string, unknown>, row: number): Row {
  const broken = Object.entries(value).find(
    ([, cell]) => typeof cell === "string" && cell.includes(INVALID_BYTES),
  );
  if (broken === undefined) return { value, row };
  return {
    row,
    rule: "invalid-bytes",
    reason: `column \`${broken[0]}\` is not valid UTF-8`,
    raw: safeJson(value).replaceAll("\\udc80", "\ufffd"),
  };
}

/** Unpackers bounded by the size that the page declares. */
const COMPRESSORS: Compressors = {
  GZIP: (input, length) => new Uint8Array(zlib.gunzipSync(input, { maxOutputLength: Math.max(1, length) })),
  BROTLI: (input, length) =>
    new Uint8Array(zlib.brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) })),
  ...zstd(),
};

/** Node has Zstandard from 22.15 on. */
function zstd(): Compressors {
  const unpack = (zlib as { zstdDecompressSync?: (input: Uint8Array, options: object) => Uint8Array })
    .zstdDecompressSync;
  return unpack === undefined
    ? {}
    : { ZSTD: (input, length) => new Uint8Array(unpack(input, { maxOutputLength: Math.max(1, length) })) };
}

async function readFooter(source: ParquetSource, name: string): Promise<FileMetaData> {
  let metadata: FileMetaData;
  try {
    metadata = await parquetMetadataAsync(source);
  } catch (error) {
    throw new UserError(`${name} is no whole Parquet file: ${errorMessage(error)}`, {
      next: NEXT,
      cause: error,
    });
  }
  let broken: string | undefined;
  try {
    broken = footerFault(metadata, source.byteLength);
  } catch (error) {
    broken = errorMessage(error);
  }
  if (broken !== undefined) throw new UserError(`the footer of ${name} is broken: ${broken}`, { next: NEXT });
  for (const group of metadata.row_groups) {
    for (const { meta_data: column } of group.columns) {
      const codec = column?.codec ?? "UNCOMPRESSED";
      if (codec === "UNCOMPRESSED" || codec === "SNAPPY" || codec in COMPRESSORS) continue;
      throw new UserError(`${name} is compressed with ${codec}, which this version of Node cannot unpack`, {
        next: `Write it again with Snappy, gzip or no compression${codec === "ZSTD" ? ", or use Node 22.15 or newer" : ""}.`,
      });
    }
  }
  return metadata;
}

/** Every leaf column of the schema by its path. */
function leafColumns(metadata: FileMetaData): ReadonlyMap<string, LeafColumn> {
  const leaves = new Map<string, LeafColumn>();
  const walk = (node: SchemaTree, around: LeafColumn): void => {
    if (node.children.length === 0) leaves.set(node.path.join("\0"), around);
    for (const child of node.children) {
      const { repetition_type: repetition } = child.element;
      walk(child, {
        maxRepetition: around.maxRepetition + (repetition === "REPEATED" ? 1 : 0),
        maxDefinition: around.maxDefinition + (repetition === "REQUIRED" ? 0 : 1),
      });
    }
  };
  walk(parquetSchema(metadata), { maxRepetition: 0, maxDefinition: 0 });
  return leaves;
}

const pathOf = (column: ColumnMetaData | undefined): string => (column?.path_in_schema ?? []).join("\0");

function footerFault(metadata: FileMetaData, bytes: number): string | undefined {
  const within = (value: unknown, most: number): boolean => {
    const number = Number(value);
    return Number.isSafeInteger(number) && number >= 0 && number <= most;
  };
  if (!Array.isArray(metadata.row_groups) || !Array.isArray(metadata.schema))
    return "it has no schema or no row groups";
  const leaves = leafColumns(metadata);
  if (metadata.schema.length > MAX_COLUMNS) return `it names ${formatCount(metadata.schema.length)} columns`;
  let rows = 0;
  for (const group of metadata.row_groups) {
    if (!within(group.num_rows, MAX_VALUES)) return `a row group claims ${String(group.num_rows)} rows`;
    rows += Number(group.num_rows);
    if (!Array.isArray(group.columns)) return "a row group has no columns";
    // The library starts to read columns before it looks all of them up: one that the schema does not
    // name would leave a failing promise that nobody awaits, which ends the process.
    const paths = group.columns.map(({ meta_data: column }) => pathOf(column));
    if (
      paths.length !== leaves.size ||
      !paths.every((path) => leaves.has(path)) ||
      new Set(paths).size !== paths.length
    ) {
      return "the columns of a row group are not those of the schema";
    }
    let unpacked = 0;
    for (const { meta_data: column } of group.columns) {
      if (column === undefined) return "a column chunk has no description";
      const flat = leaves.get(pathOf(column))!.maxRepetition === 0;
      if (flat && column.num_values !== group.num_rows)
        return "a column chunk has not as many values as its row group has rows";
      if (!within(column.data_page_offset, bytes)) return "a column chunk lies outside the file";
      if (!within(column.total_compressed_size, bytes)) return "a column chunk is larger than the file";
      if (!within(column.total_uncompressed_size, 2 ** 53)) return "a column chunk has no valid size";
      if (!within(column.num_values, MAX_VALUES))
        return `a column chunk claims ${String(column.num_values)} values`;
      unpacked += Number(column.total_uncompressed_size);
    }
    if (unpacked > MAX_GROUP_BYTES) {
      return `a row group unpacks to ${formatBytes(unpacked)}; at most ${formatBytes(MAX_GROUP_BYTES)} are read at once`;
    }
  }
  if (Number(metadata.num_rows) !== rows)
    return `it claims ${String(metadata.num_rows)} rows and its groups ${formatCount(rows)}`;
  return undefined;
}
