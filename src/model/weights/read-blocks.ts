/** Byte ranges of a file → tensors: chunked, so that a large quantised tensor is never in memory twice. */
import type { FileHandle } from "node:fs/promises";
import { type Tensor, elementCount } from "../../compute/tensor/index.ts";
import { UserError, formatBytes } from "../../util/index.ts";
import { type StorageType, storageBytes, storageFormats } from "./storage-formats.ts";
import type { RawWeight } from "./weight-store.ts";

export interface BlockRange {
  readonly file: FileHandle;
  /** For messages. */
  readonly path: string;
  /** Byte offset in the file. */
  readonly position: number;
  readonly storage: StorageType;
  readonly shape: readonly number[];
  /** The row of the result that row `row` of the file becomes; absent: rows keep their order. */
  readonly rowTarget?: (row: number) => number;
}

const chunkBytes = 4 * 1024 * 1024;

/** Reads and decodes to float32. */
export async function readFloat32(range: BlockRange): Promise<Tensor<"float32">> {
  const { shape, storage, rowTarget } = range;
  const elements = elementCount(shape);
  const out = new Float32Array(allocate(4 * elements, range));
  if (rowTarget !== undefined) {
    const raw = await readRawBlocks(range);
    storageFormats[storage].toFloat32(raw.bytes, out);
  } else if (storage === "F32") {
    await readExactly(range, range.position, new Uint8Array(out.buffer));
  } else {
    await decodeChunks(range, out);
  }
  return { dtype: "float32", shape, data: out };
}

async function decodeChunks(range: BlockRange, out: Float32Array): Promise<void> {
  const { blockElements, blockBytes, toFloat32 } = storageFormats[range.storage];
  const blocks = out.length / blockElements;
  const blocksAtOnce = Math.max(1, Math.min(blocks, Math.floor(chunkBytes / blockBytes)));
  const buffer = new Uint8Array(blocksAtOnce * blockBytes);
  for (let block = 0; block < blocks; block += blocksAtOnce) {
    const some = Math.min(blocksAtOnce, blocks - block);
    const bytes = buffer.subarray(0, some * blockBytes);
    await readExactly(range, range.position + block * blockBytes, bytes);
    toFloat32(bytes, out.subarray(block * blockElements, (block + some) * blockElements));
  }
}

/** Reads as stored. */
export async function readRawBlocks(range: BlockRange): Promise<RawWeight> {
  const { shape, storage, rowTarget } = range;
  const bytes = new Uint8Array(allocate(storageBytes(storage, elementCount(shape)), range));
  await readExactly(range, range.position, bytes);
  if (rowTarget === undefined || bytes.length === 0) return { storage, shape, bytes };
  const rows = shape[0]!;
  const rowBytes = bytes.length / rows;
  const ordered = new Uint8Array(allocate(bytes.length, range));
  for (let row = 0; row < rows; row++) {
    ordered.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), rowTarget(row) * rowBytes);
  }
  return { storage, shape, bytes: ordered };
}

function allocate(bytes: number, range: BlockRange): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (error) {
    throw new UserError(
      `there is no memory for ${range.storage}[${range.shape.join(", ")}], ${formatBytes(bytes)}`,
      {
        at: range.path,
        next: "Close other programs, or take a smaller model.",
        cause: error,
      },
    );
  }
}

async function readExactly(
  range: Pick<BlockRange, "file" | "path">,
  position: number,
  into: Uint8Array,
): Promise<void> {
  for (let done = 0; done < into.length;) {
    const length = Math.min(into.length - done, 1 << 30);
    const { bytesRead } = await range.file.read(into, done, length, position + done);
    if (bytesRead === 0) {
      throw new UserError("the file became shorter while it was read", {
        at: range.path,
        next: "Fetch it again.",
      });
    }
    done += bytesRead;
  }
}
