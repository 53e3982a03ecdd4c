/**
 * Checks the pages of a Parquet column before the library reads them: it believes every count, and a run
 * that claims a thousand million values would fill the memory. Source: apache/parquet-format, README and Encodings.
 */
import { snappyUncompress, type ColumnMetaData, type Compressors } from "hyparquet";
import { deserializeTCompactProtocol } from "hyparquet/src/thrift.js";

export interface LeafColumn {
  /** How many levels of lists and optional fields lie around a value. */
  readonly maxRepetition: number;
  readonly maxDefinition: number;
}

export interface PageLimits {
  readonly values: number;
  readonly bytes: number;
}

/** Fields of the Thrift struct PageHeader. */
interface PageHeader {
  readonly field_2?: number;
  readonly field_3?: number;
  readonly field_5?: DataPage;
  readonly field_7?: { readonly field_1?: number };
  readonly field_8?: DataPage;
}

/** DataPageHeader, and the fields of DataPageHeaderV2 that it has not. */
interface DataPage {
  readonly field_1?: number;
  readonly field_2?: number;
  readonly field_4?: number;
  readonly field_5?: number;
  readonly field_6?: number;
  readonly field_7?: boolean;
}

const ENCODING = { plainDictionary: 2, rle: 3, rleDictionary: 8 };
/** Writers may pad the last run to whole groups of eight. */
const PADDING = 512;

/** `chunk` holds the pages of one column chunk. Throws an `Error` that says what is wrong. */
export function checkPages(
  chunk: ArrayBuffer,
  column: ColumnMetaData,
  leaf: LeafColumn,
  compressors: Compressors,
  limits: PageLimits,
): void {
  const reader = { view: new DataView(chunk), offset: 0 };
  const wanted = Number(column.num_values);
  let values = 0;
  let unpacked = 0;
  while (reader.offset < chunk.byteLength - 1 && values < wanted) {
    const header: PageHeader = deserializeTCompactProtocol(reader);
    const pageBytes = size(header.field_2, limits.bytes, "an unpacked size");
    const packedBytes = size(header.field_3, chunk.byteLength - reader.offset, "a packed size");
    unpacked += pageBytes;
    if (unpacked > limits.bytes) throw new Error(`its pages unpack to more than ${limits.bytes} bytes`);
    const packed = new Uint8Array(chunk, reader.offset, packedBytes);
    reader.offset += packedBytes;
    const unpack = (bytes: Uint8Array, length: number): Uint8Array =>
      decompress(bytes, length, column.codec, compressors);
    if (header.field_7 !== undefined) size(header.field_7.field_1, pageBytes, "a dictionary size");
    const page = header.field_5 ?? header.field_8;
    if (page === undefined) continue;
    const count = size(page.field_1, limits.values, "a number of values");
    values += count;
    if (header.field_5 !== undefined) checkFirstVersion(unpack(packed, pageBytes), page, count, leaf, column);
    else checkSecondVersion(packed, pageBytes, page, count, leaf, column, unpack);
  }
  if (values !== wanted) {
    throw new Error(`the pages of a column hold ${values} values where the footer says ${wanted}`);
  }
}

function checkFirstVersion(
  bytes: Uint8Array,
  page: DataPage,
  count: number,
  leaf: LeafColumn,
  column: ColumnMetaData,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let present = count;
  for (const [levels, isDefinition] of [
    [leaf.maxRepetition, false],
    [leaf.maxDefinition, true],
  ] as const) {
    if (levels === 0) continue;
    const length = view.getUint32(at, true);
    const found = checkRuns(bytes, at + 4, bitWidth(levels), count, levels);
    if (isDefinition) present = found;
    at += 4 + length;
  }
  checkValues(bytes, at, page.field_2, present, column);
}

function checkSecondVersion(
  packed: Uint8Array,
  pageBytes: number,
  page: DataPage,
  count: number,
  leaf: LeafColumn,
  column: ColumnMetaData,
  unpack: (bytes: Uint8Array, length: number) => Uint8Array,
): void {
  const definitionBytes = size(page.field_5 ?? 0, packed.length, "a length of levels");
  const repetitionBytes = size(page.field_6 ?? 0, packed.length - definitionBytes, "a length of levels");
  if (leaf.maxRepetition > 0) checkRuns(packed, 0, bitWidth(leaf.maxRepetition), count, 0);
  if (leaf.maxDefinition > 0) checkRuns(packed, repetitionBytes, bitWidth(leaf.maxDefinition), count, 0);
  const nulls = size(page.field_2 ?? 0, count, "a number of nulls");
  const levelBytes = definitionBytes + repetitionBytes;
  const rest = packed.subarray(levelBytes);
  const bytes =
    page.field_7 === false ? rest : unpack(rest, size(pageBytes - levelBytes, pageBytes, "an unpacked size"));
  checkValues(bytes, 0, page.field_4, count - nulls, column);
}

/** Dictionary indices and booleans are runs; other encodings stop by themselves where the bytes end. */
function checkValues(
  bytes: Uint8Array,
  at: number,
  encoding: number | undefined,
  count: number,
  column: ColumnMetaData,
): void {
  if (encoding === ENCODING.plainDictionary || encoding === ENCODING.rleDictionary) {
    const width = count > 0 || at < bytes.length ? byteAt(bytes, at) : 0;
    if (width > 0) checkRuns(bytes, at + 1, width, count, 0);
  } else if (encoding === ENCODING.rle && column.type === "BOOLEAN") checkRuns(bytes, at + 4, 1, count, 0);
}

/** Walks runs of the RLE and bit-packing hybrid; returns how many of `count` values equal `wanted`. */
function checkRuns(bytes: Uint8Array, from: number, width: number, count: number, wanted: number): number {
  if (width > 32) throw new Error(`values of ${width} bits`);
  let at = from;
  let seen = 0;
  let found = 0;
  while (seen < count) {
    let header = 0;
    let shift = 0;
    for (let byte = 0x80; byte >= 0x80; shift += 7) {
      if (shift > 28) throw new Error("the length of a run is broken");
      byte = byteAt(bytes, at++);
      header += (byte & 0x7f) * 2 ** shift;
    }
    const isPacked = header % 2 === 1;
    const length = Math.floor(header / 2) * (isPacked ? 8 : 1);
    if (length > count - seen + PADDING)
      throw new Error(`a run of ${length} values where ${count - seen} are left`);
    const real = Math.min(length, count - seen);
    if (isPacked) {
      if (at + (length / 8) * width > bytes.length) throw new Error("a run goes past the end of its page");
      if (width <= 16)
        for (let i = 0; i < real; i++) if (bitsAt(bytes, at, i * width, width) === wanted) found += 1;
      at += (length / 8) * width;
    } else {
      let value = 0;
      for (let i = 0; i < Math.ceil(width / 8); i++) value += byteAt(bytes, at++) * 2 ** (8 * i);
      if (value === wanted) found += real;
    }
    seen += length;
  }
  return found;
}

function bitsAt(bytes: Uint8Array, start: number, bit: number, width: number): number {
  const byte = start + (bit >> 3);
  const word = bytes[byte]! | ((bytes[byte + 1] ?? 0) << 8) | ((bytes[byte + 2] ?? 0) << 16);
  return (word >> (bit & 7)) & ((1 << width) - 1);
}

const bitWidth = (level: number): number => 32 - Math.clz32(level);

function byteAt(bytes: Uint8Array, at: number): number {
  if (at >= bytes.length) throw new Error("a run goes past the end of its page");
  return bytes[at]!;
}

function size(value: number | undefined, most: number, what: string): number {
  if (value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= most) return value;
  throw new Error(`a page header is broken: ${String(value)} is no possible value for ${what}`);
}

function decompress(
  bytes: Uint8Array,
  length: number,
  codec: ColumnMetaData["codec"],
  compressors: Compressors,
): Uint8Array {
  const custom = compressors[codec];
  if (custom !== undefined) return custom(bytes, length);
  if (codec !== "SNAPPY") return bytes;
  const output = new Uint8Array(length);
  snappyUncompress(bytes, output);
  return output;
}
