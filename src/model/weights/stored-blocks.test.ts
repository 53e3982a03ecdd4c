/** Every block format taken apart stands for the very values that the gguf package decodes from the same bytes. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { dequantiseBlocks } from "../../compute/tensor/index.ts";
import { type StorageType, storedBlockFormat, storedBlockTypes, storedBlocks } from "./index.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/weights/dequantize.json", import.meta.url), "utf8"),
) as Record<StorageType, { bytes: string; values: string }>;

test.each(storedBlockTypes)("%s", (storage) => {
  const bytes = new Uint8Array(Buffer.from(golden[storage].bytes, "base64"));
  const expected = new Float32Array(new Uint8Array(Buffer.from(golden[storage].values, "base64")).buffer);
  const blocks = storedBlocks({ storage, shape: [1, expected.length], bytes })!;
  const back = dequantiseBlocks(blocks);
  // −0 and 0 are one value here.
  expect(back.map((value) => value + 0)).toEqual(expected.map((value) => value + 0));
});

test("types without blocks are not taken apart", () => {
  expect(storedBlockFormat("BF16")).toBeUndefined();
  expect(storedBlocks({ storage: "F32", shape: [1, 1], bytes: new Uint8Array(4) })).toBeUndefined();
});
