/** Reads GGUF's primitive values from a file in order, and never believes a count it has not checked against the file. */
import { readSync } from "node:fs";
import { UserError, formatBytes, formatCount } from "../../util/index.ts";

export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

/** Far above any real file (a vocabulary of 250,000 tokens with merges needs about 12 MB). */
export const ggufLimits = {
  headerBytes: 128 * 1024 * 1024,
  stringBytes: 16 * 1024 * 1024,
  keyBytes: 65_535,
  arrayElements: 16_777_216,
  arrayDepth: 4,
  metadataEntries: 65_536,
  tensors: 65_536,
  tensorNameBytes: 1024,
} as const;

/** Value types of the GGUF specification: code → name and bytes (of a string or array: its smallest possible size). */
const valueTypes = [
  ["uint8", 1],
  ["int8", 1],
  ["uint16", 2],
  ["int16", 2],
  ["uint32", 4],
  ["int32", 4],
  ["float32", 4],
  ["bool", 1],
  ["string", 8],
  ["array", 12],
  ["uint64", 8],
  ["int64", 8],
  ["float64", 8],
] as const;

export interface GgufCursor {
  /** Bytes consumed so far. */
  position(): number;
  uint32(what: string): number;
  /** A 64-bit count, refused above `most`. */
  count(what: string, most: number): number;
  /** An unsigned 64-bit number below 2^53. */
  size(what: string): number;
  string(what: string, mostBytes?: number): string;
  /** A value of type `code`. */
  value(code: number, what: string): GgufValue;
}

/** A damaged or hostile header. */
export function brokenGguf(problem: string, path: string): UserError {
  return new UserError(`this is not a sound GGUF file: ${problem}`, {
    at: path,
    next: "Fetch the file again, or take another one.",
  });
}

/** `fd` is read forward from `start`; `fileBytes` bounds everything. Reading is synchronous: a header takes milliseconds. */
export function ggufCursor(fd: number, path: string, fileBytes: number, start: number): GgufCursor {
  let buffer = Buffer.alloc(0);
  let bufferStart = start;
  let at = start;
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const broken = (problem: string): UserError => brokenGguf(problem, path);

  /** The next `bytes` bytes as an offset into `buffer`. */
  const take = (bytes: number, what: string): number => {
    if (bytes > fileBytes - at) throw broken(`it ends inside ${what}`);
    if (at + bytes > ggufLimits.headerBytes) {
      throw broken(`its header is larger than ${formatBytes(ggufLimits.headerBytes)}`);
    }
    if (at + bytes > bufferStart + buffer.length) {
      const wanted = Math.min(Math.max(bytes, 1 << 20), fileBytes - at);
      const next = Buffer.allocUnsafe(wanted);
      let done = 0;
      while (done < wanted) {
        const read = readSync(fd, next, done, wanted - done, at + done);
        if (read === 0) throw broken(`it ends inside ${what}`);
        done += read;
      }
      buffer = next;
      bufferStart = at;
    }
    at += bytes;
    return at - bytes - bufferStart;
  };

  const uint64 = (what: string): number | bigint => {
    const offset = take(8, what);
    const value = buffer.readBigUInt64LE(offset);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  };

  const cursor: GgufCursor = {
    position: () => at,
    uint32: (what) => {
      const offset = take(4, what);
      return buffer.readUInt32LE(offset);
    },
    count: (what, most) => {
      const value = uint64(what);
      if (value > most) {
        throw broken(`${what} is ${formatLarge(value)}; at most ${formatCount(most)} are accepted`);
      }
      return Number(value);
    },
    size: (what) => {
      const value = uint64(what);
      if (typeof value === "bigint") throw broken(`${what} is ${value}, which is impossibly large`);
      return value;
    },
    string: (what, mostBytes = ggufLimits.stringBytes) => {
      const length = cursor.count(`the length of ${what}`, mostBytes);
      const offset = take(length, what);
      const bytes = buffer.subarray(offset, offset + length);
      try {
        return decoder.decode(bytes);
      } catch {
        // Some vocabularies hold tokens that are not valid UTF-8 by themselves; only names must be.
        return bytes.toString("utf8");
      }
    },
    value: (code, what) => readValue(code, what, 0),
  };

  const readValue = (code: number, what: string, depth: number): GgufValue => {
    const type = valueTypes[code];
    if (type === undefined) throw broken(`${what} has the unknown value type ${code}`);
    switch (type[0]) {
      case "string":
        return cursor.string(what);
      case "array":
        return readArray(what, depth + 1);
      case "uint64":
        return uint64(what);
      default: {
        const offset = take(type[1], what);
        return fixed[type[0]](buffer, offset);
      }
    }
  };

  const readArray = (what: string, depth: number): readonly GgufValue[] => {
    if (depth > ggufLimits.arrayDepth)
      throw broken(`${what} nests arrays more than ${ggufLimits.arrayDepth} deep`);
    const code = cursor.uint32(`the element type of ${what}`);
    const type = valueTypes[code];
    if (type === undefined) throw broken(`${what} has the unknown element type ${code}`);
    const count = cursor.count(`the number of elements of ${what}`, ggufLimits.arrayElements);
    if (count * type[1] > fileBytes - at) {
      throw broken(`${what} claims ${formatCount(count)} elements, more than the rest of the file can hold`);
    }
    const values: GgufValue[] = [];
    for (let i = 0; i < count; i++) values.push(readValue(code, what, depth));
    return values;
  };

  return cursor;
}

const fixed: {
  readonly [K in Exclude<(typeof valueTypes)[number][0], "string" | "array" | "uint64">]: (
    buffer: Buffer,
    offset: number,
  ) => number | bigint | boolean;
} = {
  uint8: (b, o) => b.readUInt8(o),
  int8: (b, o) => b.readInt8(o),
  uint16: (b, o) => b.readUInt16LE(o),
  int16: (b, o) => b.readInt16LE(o),
  uint32: (b, o) => b.readUInt32LE(o),
  int32: (b, o) => b.readInt32LE(o),
  float32: (b, o) => b.readFloatLE(o),
  bool: (b, o) => b.readUInt8(o) !== 0,
  int64: (b, o) => {
    const value = b.readBigInt64LE(o);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  },
  float64: (b, o) => b.readDoubleLE(o),
};

function formatLarge(value: number | bigint): string {
  return typeof value === "number" ? formatCount(value) : value.toLocaleString("en-US");
}
