/** Half-precision numbers as raw bits, IEEE 754 binary16 and bfloat16, to and from float32, rounding half to even: one at a time, and gigabytes a second. */

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** The float32 bits of each of the 65,536 half-precision patterns. */
const float32BitsOf = (() => {
  const table = new Uint32Array(65_536);
  for (let bits = 0; bits < 65_536; bits++) {
    const sign = (bits & 0x8000) << 16;
    const exponent = (bits >> 10) & 31;
    const mantissa = bits & 0x3ff;
    if (exponent === 31) table[bits] = sign | 0x7f80_0000 | (mantissa << 13);
    else if (exponent > 0) table[bits] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    else if (mantissa === 0) table[bits] = sign;
    else {
      // A subnormal half is a normal float32: shift until the leading one becomes implicit.
      const shift = Math.clz32(mantissa) - 21;
      table[bits] = sign | ((113 - shift) << 23) | ((mantissa << (13 + shift)) & 0x7f_ffff);
    }
  }
  return table;
})();

/** The value of each half-precision pattern: `float16Values[bits]`. */
export const float16Values = new Float32Array(float32BitsOf.buffer);

/** `half`: raw bits; `out`: as many elements. */
export function float16ToFloat32(half: Uint16Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, half.length);
  for (let i = 0; i < half.length; i++) bits[i] = float32BitsOf[half[i]!]!;
}

/** `bfloat`: raw bits, the upper half of a float32. */
export function bfloat16ToFloat32(bfloat: Uint16Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, bfloat.length);
  for (let i = 0; i < bfloat.length; i++) bits[i] = bfloat[i]! << 16;
}

/** Rounds to nearest, ties to even; beyond 65,504 becomes infinity; NaN stays NaN. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = halfOfBits(bits[i]!);
  return out;
}

function halfOfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7f_ffff;
  if (exponent === 255) return sign | 0x7c00 | (mantissa === 0 ? 0 : 0x200 | (mantissa >>> 13));
  if (exponent >= 143) return sign | 0x7c00;
  if (exponent >= 113) {
    // Rounding may carry into the exponent, which is the right result, infinity included.
    const half = ((exponent - 112) << 10) | (mantissa >>> 13);
    return sign | (half + roundUp(mantissa & 0x1fff, 0x1000, half));
  }
  if (exponent < 102) return sign;
  const shift = 126 - exponent;
  const whole = mantissa | 0x80_0000;
  const half = whole >>> shift;
  return sign | (half + roundUp(whole & ((1 << shift) - 1), 1 << (shift - 1), half));
}

/** Rounds to nearest, ties to even; NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = bfloatOfBits(bits[i]!);
  return out;
}

function bfloatOfBits(bits: number): number {
  const upper = bits >>> 16;
  const isNaN = (bits & 0x7fff_ffff) > 0x7f80_0000;
  return isNaN ? upper | 0x40 : upper + roundUp(bits & 0xffff, 0x8000, upper);
}

function roundUp(rest: number, half: number, kept: number): number {
  return rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0;
}

export function float16ToNumber(bits: number): number {
  return float16Values[bits]!;
}

/** By way of float32, as a device takes it. */
export function numberToFloat16(value: number): number {
  single[0] = value;
  return halfOfBits(word[0]!);
}

export function bfloat16ToNumber(bits: number): number {
  word[0] = bits << 16;
  return single[0]!;
}

/** By way of float32, as a device takes it. */
export function numberToBfloat16(value: number): number {
  single[0] = value;
  return bfloatOfBits(word[0]!);
}

/** To the nearest integer, ties to the even one: IEEE 754's default and ONNX's `Round`. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
