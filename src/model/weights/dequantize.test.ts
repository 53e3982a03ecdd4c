/** Every storage type against the values that Python's gguf package decodes from the same bytes. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type StorageType, storageBytes, storageFormats } from "./storage-formats.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/weights/dequantize.json", import.meta.url), "utf8"),
) as Record<StorageType, { bytes: string; values: string }>;

test.each(Object.keys(storageFormats) as StorageType[])("%s decodes bit for bit as gguf does", (storage) => {
  const bytes = new Uint8Array(Buffer.from(golden[storage].bytes, "base64"));
  const expected = new Float32Array(new Uint8Array(Buffer.from(golden[storage].values, "base64")).buffer);
  expect(storageBytes(storage, expected.length)).toBe(bytes.length);
  const out = new Float32Array(expected.length);
  storageFormats[storage].toFloat32(bytes, out);
  expect(expected.some((value) => value !== 0)).toBe(true);
  expect(out).toEqual(expected);
  // Also from an odd offset in a larger buffer.
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  out.fill(0);
  storageFormats[storage].toFloat32(shifted.subarray(1), out);
  expect(out).toEqual(expected);
});
