/** Half floats: every pattern, rounding, and the values that have special rules. */
import { describe, expect, test } from "vitest";
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32, halfValues } from "./half.ts";

const halves = (...values: number[]): number[] => [...float32ToHalf(Float32Array.from(values))];
const bfloats = (...values: number[]): number[] => [...float32ToBfloat16(Float32Array.from(values))];

describe("half precision", () => {
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
      if (!Object.is(halfValues[bits], value)) expect(halfValues[bits], bits.toString(16)).toBe(value);
    }
  });

  test("every finite pattern survives the way there and back", () => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i).filter(
      (bits) => (bits & 0x7c00) !== 0x7c00,
    );
    const values = new Float32Array(patterns.length);
    halfToFloat32(patterns, values);
    expect(float32ToHalf(values)).toEqual(patterns);
  });

  test("rounds to nearest, ties to even, carries into the exponent, and overflows to infinity", () => {
    expect(halves(1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20)).toEqual([0x3c00, 0x3c02, 0x3c01]);
    expect(halves(1.9999, 65_519, 65_520, -1e9)).toEqual([0x4000, 0x7bff, 0x7c00, 0xfc00]);
    expect(halves(2 ** -25, 2 ** -25 * 1.01, 2 ** -24, 3 * 2 ** -25, 2 ** -26)).toEqual([0, 1, 1, 2, 0]);
    expect(halves(-0, Number.POSITIVE_INFINITY, 2 ** -14 - 2 ** -26)).toEqual([0x8000, 0x7c00, 0x0400]);
    expect(halves(Number.NaN)[0]! & 0x7fff).toBeGreaterThan(0x7c00);
  });
});

describe("bfloat16", () => {
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
