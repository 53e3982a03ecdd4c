/** Gzip streams and zip archives, unpacked as streams and bounded in size, so that a bomb costs little. */
import { Readable } from "node:stream";
import * as zlib from "node:zlib";
import * as yauzl from "yauzl";
import { UserError, errorMessage, formatBytes, formatCount } from "../../util/index.ts";
import { looksLikeRows } from "./inputs.ts";
import type { ReadLimits } from "./types.ts";

export type Bytes = AsyncIterable<Buffer>;

const PIECE_BYTES = 256 * 1024;
/** Below this, even text that packs to nothing is no danger. */
const RATIO_MATTERS_BYTES = 32 * 2 ** 20;

export const isGzip = (head: Buffer): boolean =>
  head.length >= 3 && head[0] === 0x1f && head[1] === 0x8b && head[2] === 8;
export const isZip = (head: Buffer): boolean =>
  head.length >= 4 &&
  head[0] === 0x50 &&
  head[1] === 0x4b &&
  (head.readUInt16LE(2) === 0x0403 || head.readUInt16LE(2) === 0x0605);
export const isParquet = (head: Buffer): boolean =>
  head.length >= 4 && head.toString("latin1", 0, 4) === "PAR1";

/** Counts what one packed file unpacks to, all members together, and stops at the limits. */
export interface UnpackBudget {
  spend(unpacked: number): void;
  /** Sizes that an archive declares. */
  check(unpacked: number, packed?: number): void;
}

export function unpackBudget(
  name: string,
  packedBytes: number | undefined,
  limits: ReadLimits,
): UnpackBudget {
  let total = 0;
  const next =
    "If you trust the file, unpack it yourself or raise the limit `unpackedBytes` or `unpackRatio`.";
  const check = (unpacked: number, packed?: number): void => {
    if (unpacked > limits.unpackedBytes) {
      throw new UserError(`${name} unpacks to more than ${formatBytes(limits.unpackedBytes)}`, { next });
    }
    if (packed !== undefined && unpacked > RATIO_MATTERS_BYTES && unpacked > packed * limits.unpackRatio) {
      throw new UserError(`${name} unpacks to more than ${formatCount(limits.unpackRatio)} times its size`, {
        next,
      });
    }
  };
  return {
    spend(unpacked) {
      total += unpacked;
      check(total, packedBytes);
    },
    check,
  };
}

/** Unpacks a gzip stream; a cut or broken one is a `UserError` that says how far it could be read. */
export async function* gunzip(
  bytes: Bytes,
  name: string,
  budget: UnpackBudget,
): Bytes & AsyncGenerator<Buffer> {
  const unpacker = zlib.createGunzip({ chunkSize: PIECE_BYTES });
  const source = Readable.from(bytes, { objectMode: false });
  // An error of the source itself (such as one of the disk) is passed on unchanged.
  let sourceError: unknown;
  source.once("error", (error) => {
    sourceError = error;
    unpacker.destroy(error);
  });
  source.pipe(unpacker);
  let unpacked = 0;
  try {
    for await (const piece of unpacker) {
      unpacked += (piece as Buffer).length;
      budget.spend((piece as Buffer).length);
      yield piece as Buffer;
    }
  } catch (error) {
    if (error instanceof UserError || sourceError !== undefined) throw sourceError ?? error;
    throw new UserError(
      `${name} is a broken gzip file: ${errorMessage(error)} after ${formatCount(unpacked)} unpacked bytes`,
      { next: "Download or write the file again.", cause: error },
    );
  } finally {
    source.destroy();
    unpacker.destroy();
  }
}

export interface ZipMember {
  readonly name: string;
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  open(): Promise<Bytes>;
}

export interface ZipArchive {
  readonly members: readonly ZipMember[];
  /** Names of members that hold no rows by their names. */
  readonly ignored: readonly string[];
  close(): void;
}

/** Reads the directory of a zip; `source` is a path or the whole archive. */
export async function openZip(
  source: string | Buffer,
  name: string,
  budget: UnpackBudget,
  limits: ReadLimits,
): Promise<ZipArchive> {
  const broken = (error: unknown): UserError =>
    error instanceof UserError
      ? error
      : new UserError(`${name} is a broken zip archive: ${errorMessage(error)}`, {
          next: "Download or write the file again.",
          cause: error,
        });
  let zip: yauzl.ZipFile;
  try {
    const options = { lazyEntries: true, autoClose: false };
    zip = await (typeof source === "string"
      ? yauzl.openPromise(source, options)
      : yauzl.fromBufferPromise(source, options));
  } catch (error) {
    throw broken(error);
  }
  const members: ZipMember[] = [];
  const ignored: string[] = [];
  let declared = 0;
  try {
    zip.on("error", () => {});
    if (zip.entryCount > limits.archiveMembers) {
      throw new UserError(
        `${name} holds ${formatCount(zip.entryCount)} files; at most ${formatCount(limits.archiveMembers)} are read`,
        {
          next: "Unpack it and name the files you need.",
        },
      );
    }
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith("/")) continue;
      if (!looksLikeRows(entry.fileName)) {
        ignored.push(entry.fileName);
        continue;
      }
      declared += entry.uncompressedSize;
      budget.check(declared);
      budget.check(entry.uncompressedSize, entry.compressedSize);
      members.push({
        name: entry.fileName,
        packedBytes: entry.compressedSize,
        unpackedBytes: entry.uncompressedSize,
        open: async () => readMember(zip, entry, `${name}!${entry.fileName}`, budget),
      });
    }
  } catch (error) {
    zip.close();
    throw broken(error);
  }
  return { members, ignored, close: () => zip.close() };
}

async function* readMember(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  name: string,
  budget: UnpackBudget,
): AsyncGenerator<Buffer> {
  if (entry.isEncrypted()) {
    throw new UserError(`${name} is encrypted`, { next: "Unpack the archive with its password first." });
  }
  if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8) {
    throw new UserError(
      `${name} is packed with zip method ${entry.compressionMethod}; read are stored and deflated members`,
      {
        next: "Unpack the archive or pack it again with the usual method.",
      },
    );
  }
  let checksum = 0;
  let stream: Readable | undefined;
  try {
    stream = await zip.openReadStreamPromise(entry);
    for await (const piece of stream) {
      budget.spend((piece as Buffer).length);
      checksum = zlib.crc32(piece as Buffer, checksum);
      yield piece as Buffer;
    }
    if (checksum !== entry.crc32) throw new Error("its checksum does not fit");
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${name} cannot be unpacked: ${errorMessage(error)}`, {
      next: "Download or write the file again.",
      cause: error,
    });
  } finally {
    stream?.destroy();
  }
}

/** The first `size` bytes without losing them. */
export async function peek(
  bytes: Bytes,
  size: number,
): Promise<{ head: Buffer; whole: boolean; bytes: Bytes; close(): Promise<void> }> {
  const iterator = bytes[Symbol.asyncIterator]();
  const pieces: Buffer[] = [];
  let held = 0;
  let whole = false;
  while (held < size) {
    const next = await iterator.next();
    if (next.done === true) {
      whole = true;
      break;
    }
    pieces.push(next.value);
    held += next.value.length;
  }
  async function* again(): AsyncGenerator<Buffer> {
    yield* pieces;
    if (whole) return;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  }
  return {
    head: Buffer.concat(pieces),
    whole,
    bytes: again(),
    close: async () => {
      await iterator.return?.();
    },
  };
}

/** All bytes at once, for what has to be read by position; `limits.heldBytes` at most. */
export async function hold(bytes: Bytes, name: string, limits: ReadLimits): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let held = 0;
  for await (const piece of bytes) {
    pieces.push(piece);
    held += piece.length;
    if (held > limits.heldBytes) {
      throw new UserError(
        `${name} has to be held in memory and is larger than ${formatBytes(limits.heldBytes)}`,
        {
          next: "Unpack it to a file and name that, or raise the limit `heldBytes`.",
        },
      );
    }
  }
  return Buffer.concat(pieces);
}
