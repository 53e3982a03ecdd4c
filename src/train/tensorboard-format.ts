/** TensorBoard's event files, byte for byte: framed records of protocol-buffer messages. */
import { ProtobufWriter } from "../compute/onnx/index.ts";

/** One thing shown under a tag. Source of the messages: tensorboard/compat/proto/{event,summary,tensor}.proto. */
export type SummaryValue =
  | { readonly kind: "scalar"; readonly tag: string; readonly value: number }
  | { readonly kind: "histogram"; readonly tag: string; readonly values: readonly number[] }
  /** Markdown. */
  | { readonly kind: "text"; readonly tag: string; readonly text: string }
  /** What a plugin keeps in its metadata; `content` is a message of its own. */
  | { readonly kind: "plugin"; readonly tag: string; readonly plugin: string; readonly content: Uint8Array };

export interface EventRecord {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  readonly values: readonly SummaryValue[];
}

/** The first record of every file. */
export function versionRecord(wallTime: number): Uint8Array {
  return frame(new ProtobufWriter().double(1, wallTime).string(3, "brain.Event:2").join());
}

/** Tells readers to forget what earlier files of the folder say of steps from `step` on: the run went back to there. */
export function restartRecord(wallTime: number, step: number): Uint8Array {
  const start = new ProtobufWriter().int(1, 1);
  return frame(new ProtobufWriter().double(1, wallTime).int(2, step).message(7, start).join());
}

export function eventRecord({ wallTime, step, values }: EventRecord): Uint8Array {
  const summary = new ProtobufWriter();
  for (const value of values) summary.message(1, valueMessage(value));
  return frame(new ProtobufWriter().double(1, wallTime).int(2, step).message(5, summary).join());
}

/** TFRecord: length, its masked CRC-32C, the data, their masked CRC-32C; little-endian. */
export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

function valueMessage(value: SummaryValue): ProtobufWriter {
  const message = new ProtobufWriter().string(1, value.tag);
  switch (value.kind) {
    case "scalar":
      return message.float(2, value.value);
    case "histogram":
      return message.message(5, histogramMessage(value.values));
    case "text": {
      const shape = new ProtobufWriter().message(2, new ProtobufWriter().int(1, 1));
      // 7 is DT_STRING.
      const tensor = new ProtobufWriter()
        .int(1, 7)
        .message(2, shape)
        .bytes(8, new TextEncoder().encode(value.text));
      const plugin = new ProtobufWriter().string(1, "text");
      // 2 is DATA_CLASS_TENSOR.
      const metadata = new ProtobufWriter().message(1, plugin).int(4, 2);
      return message.message(8, tensor).message(9, metadata);
    }
    case "plugin": {
      const shape = new ProtobufWriter().message(2, new ProtobufWriter().int(1, 0));
      // 1 is DT_FLOAT: a tensor without elements, for readers that want one.
      const tensor = new ProtobufWriter().int(1, 1).message(2, shape);
      const plugin = new ProtobufWriter().string(1, value.plugin).bytes(2, value.content);
      return message.message(8, tensor).message(9, new ProtobufWriter().message(1, plugin));
    }
  }
}

/** Thirty buckets of equal width between the least and the greatest value. */
function histogramMessage(values: readonly number[]): ProtobufWriter {
  const least = Math.min(...values);
  const greatest = Math.max(...values);
  const buckets = 30;
  const width = (greatest - least) / buckets || Number.MIN_VALUE;
  const limits = Float64Array.from({ length: buckets }, (_, i) =>
    i === buckets - 1 ? greatest : least + (i + 1) * width,
  );
  const counts = new Float64Array(buckets);
  let [sum, squares] = [0, 0];
  for (const value of values) {
    counts[Math.min(buckets - 1, Math.floor((value - least) / width))]! += 1;
    sum += value;
    squares += value * value;
  }
  return new ProtobufWriter()
    .double(1, least)
    .double(2, greatest)
    .double(3, values.length)
    .double(4, sum)
    .double(5, squares)
    .bytes(6, littleEndian(limits))
    .bytes(7, littleEndian(counts));
}

/** A packed repeated double field. */
function littleEndian(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setFloat64(8 * i, value, true));
  return bytes;
}

/** CRC-32C (Castagnoli, reflected polynomial 0x82f63b78) by table. Source: RFC 3720, appendix B.4. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}

/** Rotated and offset, so that a CRC of data that hold CRCs is sound. Source: TensorFlow's core/lib/hash/crc32c.h. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
