/** IEEE half precision and bfloat16 to float32, and back: tables and integer shifts, gigabytes a second. */

/** The float32 bits of each of the 65,536 half-precision patterns. */
const float32BitsOfHalf = (() => {
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

/** The value of each half-precision pattern: `halfValues[bits]`. */
export const halfValues = new Float32Array(float32BitsOfHalf.buffer);

/** `half`: raw bits; `out`: as many elements. */
export function halfToFloat32(half: Uint16Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, half.length);
  for (let i = 0; i < half.length; i++) bits[i] = float32BitsOfHalf[half[i]!]!;
}

/** `bfloat`: raw bits, the upper half of a float32. */
export function bfloat16ToFloat32(bfloat: Uint16Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, bfloat.length);
  for (let i = 0; i < bfloat.length; i++) bits[i] = bfloat[i]! << 16;
}

/** Rounds to nearest, ties to even; beyond 65,504 becomes infinity; NaN stays NaN. */
export function float32ToHalf(values: Float32Array): Uint16Array<ArrayBuffer> {
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
  for (let i = 0; i < out.length; i++) {
    const word = bits[i]!;
    const upper = word >>> 16;
    const isNaN = (word & 0x7fff_ffff) > 0x7f80_0000;
    out[i] = isNaN ? upper | 0x40 : upper + roundUp(word & 0xffff, 0x8000, upper);
  }
  return out;
}

function roundUp(rest: number, half: number, kept: number): number {
  return rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0;
}
