/** Blocks of 4-bit codes: NF4 equal to bitsandbytes', the symmetric rule equal to ggml's, and their bounds. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BlockTensor, blockBytes, dequantiseBlocks, fitsBlocks, quantiseBlocks } from "./index.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/compute/nf4.json", import.meta.url), "utf8"),
) as {
  shape: number[];
  weight: string;
  cases: { block: number; codes: string; absmax: string; values: string }[];
};

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text, "base64"));
const floats = (text: string): Float32Array => new Float32Array(bytesOf(text).buffer);

/** One code a byte, in the elements' order. */
function unpacked({ codes, format: { span } }: BlockTensor): number[] {
  return Array.from({ length: 2 * codes.length }, (_, i) => {
    const within = i % span;
    const byte = codes[(i - within) / 2 + (within % (span / 2))]!;
    return within < span / 2 ? byte & 15 : byte >> 4;
  });
}

describe("NF4", () => {
  test.each(golden.cases)("block $block: codes, scales and values are bitsandbytes'", (given) => {
    const made = quantiseBlocks(floats(golden.weight), golden.shape, "nf4", given.block);
    expect(unpacked(made)).toEqual([...bytesOf(given.codes)]);
    expect(made.scale).toEqual(floats(given.absmax));
    expect(dequantiseBlocks(made)).toEqual(floats(given.values));
  });
});

describe("symmetric 4 bits", () => {
  /** What has a shorter step becomes zero. */
  const tiny = 8 * 2 ** -127;
  const blocks = fc
    .array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: 64, maxLength: 64 })
    .map((values) => Float32Array.from(values));

  test("no value is off by more than a step, and the largest magnitude is kept", () => {
    fc.assert(
      fc.property(blocks, fc.constantFrom(32, 64), (values, block) => {
        const made = quantiseBlocks(values, [1, 64], "symmetric", block);
        const back = dequantiseBlocks(made);
        values.forEach((value, i) => {
          const step = Math.abs(made.scale[Math.floor(i / block)]!);
          // The side without −8 is cut at 7 steps: half a step, and one more at its end.
          expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(step * 1.0001 + tiny);
        });
        const most = values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
        const nearest = back.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
        expect(Math.abs(nearest - most)).toBeLessThanOrEqual(1e-6 * Math.abs(most) + tiny);
      }),
      { numRuns: 50 },
    );
  });

  test("a block whose step is below float32's normal numbers has zeros, not the lowest code", () => {
    for (const most of [1.4e-45, -1e-39, 4e-38])
      for (const code of ["symmetric", "nf4"] as const) {
        const values = new Float32Array(32);
        values[3] = most;
        const back = dequantiseBlocks(quantiseBlocks(values, [1, 32], code, 32));
        expect(back.every((value, i) => Math.abs(value) === 0 || (i === 3 && value === values[i]))).toBe(
          true,
        );
      }
  });

  test("quantising what blocks stand for gives the same values again", () => {
    const values = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i * i));
    const once = dequantiseBlocks(quantiseBlocks(values, [1, 128], "symmetric", 32));
    const twice = dequantiseBlocks(quantiseBlocks(once, [1, 128], "symmetric", 32));
    expect(twice).toEqual(once);
  });

  test("a block of zeros stays zero", () => {
    for (const code of ["symmetric", "nf4"] as const) {
      const back = dequantiseBlocks(quantiseBlocks(new Float32Array(32), [1, 32], code, 32));
      expect(back.every((value) => Math.abs(value) === 0)).toBe(true);
    }
  });
});

test("bytes and fit of a format", () => {
  const format = { bits: 4, code: "offset", block: 32, span: 64 } as const;
  expect(blockBytes(format, 64)).toBe(32 + 2 * 8);
  expect([64, 96, 48].map((elements) => fitsBlocks(elements, format))).toEqual([true, false, false]);
});
