/** Half-precision numbers: every bit pattern, and rounding between them. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  bfloat16ToNumber,
  float16ToNumber,
  numberToBfloat16,
  numberToFloat16,
  roundHalfEven,
} from "./index.ts";

const patterns = Array.from({ length: 1 << 16 }, (_, bits) => bits);

test("every float16 and bfloat16 survives a round trip", () => {
  for (const [read, store] of [
    [float16ToNumber, numberToFloat16],
    [bfloat16ToNumber, numberToBfloat16],
  ] as const) {
    const lost = patterns.filter((bits) => {
      const value = read(bits);
      return Number.isNaN(value) ? !Number.isNaN(read(store(value))) : store(value) !== bits;
    });
    expect(lost).toEqual([]);
  }
});

test("known values", () => {
  expect([0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0x3555].map(float16ToNumber)).toEqual([
    1,
    -2,
    65504,
    2 ** -24,
    2 ** -14,
    Infinity,
    0.333251953125,
  ]);
  expect([0x3f80, 0xc040, 0x7f80].map(bfloat16ToNumber)).toEqual([1, -3, Infinity]);
  expect([65519, 65520, -1e9, 2 ** -25, 1e-9].map(numberToFloat16)).toEqual([0x7bff, 0x7c00, 0xfc00, 0, 0]);
  expect(numberToBfloat16(3.4e38)).toBe(0x7f80);
});

test("a number between two float16 goes to the nearer, half way to the even one", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7bfe }), fc.constantFrom(0.25, 0.5, 0.75), (bits, part) => {
      const low = float16ToNumber(bits);
      const high = float16ToNumber(bits + 1);
      const nearer = part === 0.5 ? bits + (bits % 2) : part < 0.5 ? bits : bits + 1;
      expect(numberToFloat16(low + (high - low) * part)).toBe(nearer);
    }),
  );
});

test("ties go to the even integer", () => {
  expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6].map(roundHalfEven)).toEqual([
    -2, -2, 0, 0, 2, 2, 2, -3,
  ]);
});
