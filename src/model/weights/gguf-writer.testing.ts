/** Writes small GGUF files for tests, sound or broken on purpose. */

export type TestValue =
  | { readonly type: number; readonly bytes: Uint8Array }
  | number
  | string
  | boolean
  | readonly string[]
  | readonly number[];

export interface TestTensor {
  readonly name: string;
  /** Row-major; written reversed. */
  readonly shape: readonly (number | bigint)[];
  readonly type: number;
  readonly data: Uint8Array;
  /** Overrides the true offset. */
  readonly offset?: number | bigint;
}

export interface TestGguf {
  readonly version?: number;
  readonly metadata?: Readonly<Record<string, TestValue>>;
  readonly tensors?: readonly TestTensor[];
  readonly tensorCount?: bigint;
  readonly metadataCount?: bigint;
  readonly alignment?: number;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function f32(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function encode(value: TestValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(8), text(value)]);
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.of(value ? 1 : 0)]);
  if (typeof value === "number") {
    return Number.isInteger(value)
      ? Buffer.concat([u32(4), u32(value)])
      : Buffer.concat([u32(6), f32(value)]);
  }
  if ("bytes" in value) return Buffer.concat([u32(value.type), value.bytes]);
  const items = value as readonly (string | number)[];
  const isText = typeof items[0] === "string";
  return Buffer.concat([
    u32(9),
    u32(isText ? 8 : 6),
    u64(items.length),
    ...items.map((item) => (typeof item === "string" ? text(item) : f32(item))),
  ]);
}

export function ggufBytes(file: TestGguf): Buffer {
  const alignment = file.alignment ?? 32;
  const metadata = Object.entries(file.metadata ?? {});
  const tensors = file.tensors ?? [];
  const header = [
    Buffer.from("GGUF"),
    u32(file.version ?? 3),
    u64(file.tensorCount ?? tensors.length),
    u64(file.metadataCount ?? metadata.length),
    ...metadata.flatMap(([key, value]) => [text(key), encode(value)]),
  ];
  let offset = 0;
  const data: Buffer[] = [];
  for (const tensor of tensors) {
    header.push(text(tensor.name), u32(tensor.shape.length), ...[...tensor.shape].reverse().map(u64));
    header.push(u32(tensor.type), u64(tensor.offset ?? offset));
    const padded = Buffer.alloc(Math.ceil(tensor.data.length / alignment) * alignment);
    padded.set(tensor.data);
    data.push(padded);
    offset += padded.length;
  }
  const head = Buffer.concat(header);
  return Buffer.concat([head, Buffer.alloc((alignment - (head.length % alignment)) % alignment), ...data]);
}
