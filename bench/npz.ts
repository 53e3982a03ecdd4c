/** Reads the integer arrays of a NumPy archive: a zip of .npy files. */
import { type Entry, type ZipFile, fromBuffer } from "yauzl";
import { readFile } from "node:fs/promises";
import { UserError } from "../src/util/index.ts";

export interface IntegerArray {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: ArrayLike<number>;
}

/** By name without `.npy`. Arrays that are not int8, int32 or int64 in C order are left out. */
export async function readNpz(path: string): Promise<ReadonlyMap<string, IntegerArray>> {
  const zip = await openZip(await readFile(path), path);
  const arrays = new Map<string, IntegerArray>();
  for await (const [name, content] of entries(zip)) {
    const array = parseNpy(content, `${path}: ${name}`);
    if (array !== undefined) arrays.set(name.replace(/\.npy$/, ""), array);
  }
  return arrays;
}

/** Source of the format: NumPy's NEP 1. */
function parseNpy(bytes: Buffer, at: string): IntegerArray | undefined {
  if (bytes.toString("latin1", 0, 6) !== "\u0093NUMPY") throw new UserError("not a NumPy array", { at });
  const wide = bytes[6]! >= 2;
  const start = wide ? 12 : 10;
  const end = start + (wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  const header = bytes.toString("latin1", start, end);
  const type = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const shape = [.../'shape':\s*\(([^)]*)\)/.exec(header)![1]!.matchAll(/\d+/g)].map(([size]) =>
    Number(size),
  );
  if (/'fortran_order':\s*True/.test(header)) return undefined;
  // A copy, because a view of four- or eight-byte elements must begin at a multiple of them.
  const body = new Uint8Array(bytes.subarray(end)).buffer;
  switch (type) {
    case "|i1":
      return { shape, data: new Int8Array(body) };
    case "<i4":
      return { shape, data: new Int32Array(body) };
    case "<i8":
      return { shape, data: Float64Array.from(new BigInt64Array(body), Number) };
    default:
      return undefined;
  }
}

function openZip(bytes: Buffer, path: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    fromBuffer(bytes, { lazyEntries: true }, (error, zip: ZipFile) => {
      if (error === null) resolve(zip);
      else reject(new UserError(`${path} is not a NumPy archive: ${error.message}`));
    });
  });
}

async function* entries(zip: ZipFile): AsyncGenerator<readonly [string, Buffer]> {
  for (;;) {
    const entry = await new Promise<Entry | undefined>((resolve, reject) => {
      zip.once("entry", resolve);
      zip.once("end", () => resolve(undefined));
      zip.once("error", reject);
      zip.readEntry();
    });
    zip.removeAllListeners();
    if (entry === undefined) return;
    yield [entry.fileName, await read(zip, entry)];
  }
}

function read(zip: ZipFile, entry: Entry): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error !== null) {
        reject(error);
        return;
      }
      const parts: Buffer[] = [];
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("end", () => resolve(Buffer.concat(parts)));
      stream.on("error", reject);
    });
  });
}
