/** Writes a safetensors file tensor by tensor, so that a model larger than memory can be written. */
import type { FileHandle } from "node:fs/promises";
import {
  type Tensor,
  elementCount,
  float32ToBfloat16,
  float32ToFloat16,
  tensorBytes,
} from "../../compute/tensor/index.ts";
import { writeAtomic } from "../../util/index.ts";

export type WrittenType = "F32" | "F16" | "BF16";

export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly storage: WrittenType;
  /** Called once, when the tensor's turn comes; its shape must be `shape`. */
  read(): Promise<Tensor<"float32">> | Tensor<"float32">;
}

const elementBytes: { readonly [S in WrittenType]: number } = { F32: 4, F16: 2, BF16: 2 };

/** Atomic: `path` appears complete or not at all. The data begins at a multiple of 8 bytes, wider types first. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  // Wider elements first keeps every tensor aligned to its element, as the reference implementation does.
  const ordered = [...tensors].sort(
    (a, b) => elementBytes[b.storage] - elementBytes[a.storage] || compareNames(a.name, b.name),
  );
  const header = encodeHeader(ordered, metadata);
  await writeAtomic(path, async (file) => {
    await writeFully(file, header);
    for (const tensor of ordered) {
      const value = await tensor.read();
      if (value.shape.join() !== tensor.shape.join()) {
        throw new Error(
          `${tensor.name} was announced as [${tensor.shape.join()}], but is [${value.shape.join()}]`,
        );
      }
      await writeFully(file, encode(value, tensor.storage));
    }
  });
}

/** A tensor in memory as something to write. */
export function toWrite(name: string, value: Tensor<"float32">, storage: WrittenType = "F32"): TensorToWrite {
  return { name, shape: value.shape, storage, read: () => value };
}

function encodeHeader(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  // Without a prototype, so that no tensor name is special to JavaScript.
  const header = Object.create(null) as Record<string, unknown>;
  if (Object.keys(metadata).length > 0) header["__metadata__"] = metadata;
  let offset = 0;
  for (const { name, shape, storage } of tensors) {
    if (name === "__metadata__" || Object.hasOwn(header, name)) {
      throw new Error(`two tensors are named ${JSON.stringify(name)}`);
    }
    const end = offset + elementCount(shape) * elementBytes[storage];
    header[name] = { dtype: storage, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length), 0);
  json.copy(bytes, 8);
  return bytes;
}

function encode(value: Tensor<"float32">, storage: WrittenType): Uint8Array {
  if (storage === "F32") return tensorBytes(value);
  const half = storage === "F16" ? float32ToFloat16(value.data) : float32ToBfloat16(value.data);
  return new Uint8Array(half.buffer);
}

async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, 1 << 30));
    done += bytesWritten;
  }
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
