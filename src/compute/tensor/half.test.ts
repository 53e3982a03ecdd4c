/** Half-precision numbers: every bit pattern, and rounding between them. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bfloat16ToFloat32,
  bfloat16ToNumber,
  float16ToFloat32,
  float16ToNumber,
  float16Values,
  float32ToBfloat16,
  float32ToFloat16,
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

const halves = (...values: number[]): number[] => [...float32ToFloat16(Float32Array.from(values))];
const bfloats = (...values: number[]): number[] => [...float32ToBfloat16(Float32Array.from(values))];

describe("arrays of half precision", () => {
  test("every pattern has the value that IEEE 754 gives it", () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const sign = bits >> 15 === 1 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const mantissa = bits & 1023;
      const value =
        exponent === 31
          ? mantissa === 0
            ? sign * Number.POSITIVE_INFINITY
            : Number.NaN
          : exponent === 0
            ? sign * mantissa * 2 ** -24
            : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
      if (!Object.is(float16Values[bits], value)) expect(float16Values[bits], bits.toString(16)).toBe(value);
    }
  });

  test("every finite pattern survives the way there and back", () => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i).filter(
      (bits) => (bits & 0x7c00) !== 0x7c00,
    );
    const values = new Float32Array(patterns.length);
    float16ToFloat32(patterns, values);
    expect(float32ToFloat16(values)).toEqual(patterns);
  });

  test("rounds to nearest, ties to even, carries into the exponent, and overflows to infinity", () => {
    expect(halves(1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20)).toEqual([0x3c00, 0x3c02, 0x3c01]);
    expect(halves(1.9999, 65_519, 65_520, -1e9)).toEqual([0x4000, 0x7bff, 0x7c00, 0xfc00]);
    expect(halves(2 ** -25, 2 ** -25 * 1.01, 2 ** -24, 3 * 2 ** -25, 2 ** -26)).toEqual([0, 1, 1, 2, 0]);
    expect(halves(-0, Number.POSITIVE_INFINITY, 2 ** -14 - 2 ** -26)).toEqual([0x8000, 0x7c00, 0x0400]);
    expect(halves(Number.NaN)[0]! & 0x7fff).toBeGreaterThan(0x7c00);
  });
});

describe("arrays of bfloat16", () => {
  test("is the upper half of a float32, rounded to nearest even", () => {
    expect(bfloats(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -2, 3.4e38)).toEqual([
      0x3f80, 0x3f80, 0x3f82, 0xc000, 0x7f80,
    ]);
    expect(bfloats(Number.NaN)[0]! & 0x7fff).toBeGreaterThan(0x7f80);
    const back = new Float32Array(3);
    bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc000, 0x0001), back);
    expect([...back]).toEqual([1, -2, 2 ** -133]);
  });
});
