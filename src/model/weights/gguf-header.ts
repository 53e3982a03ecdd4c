/** The header of a GGUF file, version 2 or 3: metadata and where each tensor lies. Source: ggml docs/gguf.md. */
import { readSync } from "node:fs";
import { UserError, formatBytes } from "../../util/index.ts";
import { type GgufValue, brokenGguf, ggufCursor, ggufLimits } from "./gguf-cursor.ts";
import { type StorageType, isStorageType, storageBytes, storageFormats } from "./storage-formats.ts";

export interface GgufTensor {
  readonly name: string;
  /** Row-major order, [out, in]: the file's own order reversed. */
  readonly shape: readonly number[];
  readonly storage: StorageType;
  /** Byte offset in the file. */
  readonly position: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
}

/** ggml's type codes by name, the unreadable ones too, so that a refusal can name them. */
const tensorTypes: ReadonlyMap<number, string> = new Map(
  Object.entries({
    F32: 0,
    F16: 1,
    Q4_0: 2,
    Q4_1: 3,
    Q5_0: 6,
    Q5_1: 7,
    Q8_0: 8,
    Q8_1: 9,
    Q2_K: 10,
    Q3_K: 11,
    Q4_K: 12,
    Q5_K: 13,
    Q6_K: 14,
    Q8_K: 15,
    IQ2_XXS: 16,
    IQ2_XS: 17,
    IQ3_XXS: 18,
    IQ1_S: 19,
    IQ4_NL: 20,
    IQ3_S: 21,
    IQ2_S: 22,
    IQ4_XS: 23,
    I8: 24,
    I16: 25,
    I32: 26,
    I64: 27,
    F64: 28,
    IQ1_M: 29,
    BF16: 30,
    TQ1_0: 34,
    TQ2_0: 35,
    MXFP4: 39,
    NVFP4: 40,
    Q1_0: 41,
  }).map(([name, code]) => [code, name]),
);

export function readGgufHeader(fd: number, path: string, fileBytes: number): GgufHeader {
  const version = readVersion(fd, path, fileBytes);
  const cursor = ggufCursor(fd, path, fileBytes, 8);
  const tensorCount = cursor.count("the number of tensors", ggufLimits.tensors);
  const entryCount = cursor.count("the number of metadata entries", ggufLimits.metadataEntries);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const key = cursor.string(`metadata key ${i + 1}`, ggufLimits.keyBytes);
    if (metadata.has(key)) throw brokenGguf(`the metadata key ${show(key)} occurs twice`, path);
    metadata.set(key, cursor.value(cursor.uint32(`the type of ${show(key)}`), show(key)));
  }
  const parts = metadata.get("split.count");
  if (typeof parts === "number" && parts > 1) {
    throw new UserError(`the model is split into ${parts} GGUF files`, {
      at: path,
      next: "Join them with `llama-gguf-split --merge`, or take the safetensors checkpoint.",
    });
  }
  const alignment = alignmentOf(metadata, path);
  const infos = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.string(`the name of tensor ${i + 1}`, ggufLimits.tensorNameBytes);
    const rank = cursor.uint32(`the rank of ${show(name)}`);
    if (rank > 4) throw brokenGguf(`the tensor ${show(name)} has ${rank} dimensions; at most 4 exist`, path);
    const sizes = [];
    for (let d = 0; d < rank; d++) sizes.push(cursor.size(`a size of ${show(name)}`));
    const type = cursor.uint32(`the type of ${show(name)}`);
    infos.push({ name, shape: sizes.reverse(), type, offset: cursor.size(`the offset of ${show(name)}`) });
  }
  const dataStart = Math.ceil(cursor.position() / alignment) * alignment;
  const tensors = infos.map((info) => locate(info, dataStart, alignment, path, fileBytes));
  refuseOverlap(tensors, path);
  return { version, metadata, tensors };
}

function readVersion(fd: number, path: string, fileBytes: number): number {
  const start = Buffer.alloc(8);
  const got = fileBytes < 8 ? 0 : readSync(fd, start, 0, 8, 0);
  if (got < 8 || start.toString("latin1", 0, 4) !== "GGUF") {
    throw brokenGguf("it does not begin with the letters GGUF", path);
  }
  const version = start.readUInt32LE(4);
  if (version === 2 || version === 3) return version;
  const swapped = start.readUInt32BE(4);
  throw new UserError(
    swapped === 2 || swapped === 3
      ? "the GGUF file is big-endian"
      : `the GGUF file has version ${version}; versions 2 and 3 are supported`,
    { at: path, next: "Convert the model again with a current llama.cpp." },
  );
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, path: string): number {
  const value = metadata.get("general.alignment") ?? 32;
  if (typeof value !== "number" || value < 1 || value > 1_048_576 || !Number.isInteger(Math.log2(value))) {
    throw brokenGguf(
      `general.alignment is ${JSON.stringify(String(value).slice(0, 40))}; it must be a power of two up to 1 MiB`,
      path,
    );
  }
  return value;
}

interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  readonly offset: number;
}

function locate(
  info: TensorInfo,
  dataStart: number,
  alignment: number,
  path: string,
  fileBytes: number,
): GgufTensor {
  const { name, shape, offset } = info;
  const storage = tensorTypes.get(info.type);
  if (storage === undefined || !isStorageType(storage)) {
    throw new UserError(
      `the tensor ${show(name)} is stored as ${storage ?? `unknown type ${info.type}`}, which cannot be read`,
      {
        at: path,
        next: `Take a file in one of ${Object.keys(storageFormats).join(", ")}.`,
      },
    );
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(elements)) {
    throw brokenGguf(`the tensor ${show(name)} has the impossible shape [${shape.join(", ")}]`, path);
  }
  const { blockElements } = storageFormats[storage];
  const rowElements = shape.at(-1) ?? 1;
  if (rowElements % blockElements !== 0) {
    throw brokenGguf(
      `a row of ${show(name)} has ${rowElements} elements; ${storage} needs a multiple of ${blockElements}`,
      path,
    );
  }
  if (offset % alignment !== 0) {
    throw brokenGguf(
      `the tensor ${show(name)} begins at ${offset}, not a multiple of the alignment ${alignment}`,
      path,
    );
  }
  const position = dataStart + offset;
  const bytes = storageBytes(storage, elements);
  if (position + bytes > fileBytes) {
    throw brokenGguf(
      `the tensor ${show(name)} ends at byte ${position + bytes}, but the file has ${fileBytes} (${formatBytes(fileBytes)}): it is cut off`,
      path,
    );
  }
  return { name, shape, storage, position };
}

function refuseOverlap(tensors: readonly GgufTensor[], path: string): void {
  const names = new Set<string>();
  let last: GgufTensor | undefined;
  let lastEnd = 0;
  for (const tensor of [...tensors].sort((a, b) => a.position - b.position)) {
    if (names.has(tensor.name)) throw brokenGguf(`the tensor ${show(tensor.name)} occurs twice`, path);
    names.add(tensor.name);
    const bytes = storageBytes(
      tensor.storage,
      tensor.shape.reduce((product, size) => product * size, 1),
    );
    if (last !== undefined && bytes > 0 && tensor.position < lastEnd) {
      throw brokenGguf(`the tensors ${show(last.name)} and ${show(tensor.name)} overlap`, path);
    }
    if (bytes > 0) [last, lastEnd] = [tensor, tensor.position + bytes];
  }
}

function show(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 79)}…` : name);
}
