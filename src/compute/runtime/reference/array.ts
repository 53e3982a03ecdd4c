/** Arrays of the reference interpreter: every element type in float64, so that results serve as a yardstick. */
import {
  type DType,
  type Tensor,
  bfloat16ToNumber,
  dtypes,
  elementCount,
  float16ToNumber,
  numberToBfloat16,
  numberToFloat16,
  tensor,
} from "../../tensor/index.ts";

/** float32 is held in float64 unrounded; other types hold exactly what they can represent. */
export interface Wide {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** How an element type's stored number reads, which value it takes for a number, and how that is stored. */
interface Element {
  readonly read: (stored: number) => number;
  readonly hold: (value: number) => number;
  readonly store: (value: number) => number;
}

const same = (value: number): number => value;
const wrap = (bits: number, signed: boolean) => {
  const span = 2 ** bits;
  return (value: number): number => {
    const whole = Math.trunc(value) % span;
    const low = whole < 0 ? whole + span : whole;
    return signed && low >= span / 2 ? low - span : low;
  };
};

const elements: { readonly [D in DType]: Element } = {
  float32: { read: same, hold: same, store: same },
  float16: {
    read: float16ToNumber,
    hold: (x) => float16ToNumber(numberToFloat16(x)),
    store: numberToFloat16,
  },
  bfloat16: {
    read: bfloat16ToNumber,
    hold: (x) => bfloat16ToNumber(numberToBfloat16(x)),
    store: numberToBfloat16,
  },
  int8: { read: same, hold: wrap(8, true), store: same },
  uint8: { read: same, hold: wrap(8, false), store: same },
  int32: { read: same, hold: wrap(32, true), store: same },
  int64: { read: same, hold: Math.trunc, store: same },
  bool: { read: same, hold: (x) => (x === 0 ? 0 : 1), store: same },
};

export function widen({ dtype, shape, data }: Tensor): Wide {
  const { read } = elements[dtype];
  return { dtype, shape, data: Float64Array.from(data as ArrayLike<number>, (value) => read(Number(value))) };
}

export function narrow({ dtype, shape, data }: Wide): Tensor {
  const { store } = elements[dtype];
  const { bytes, array } = dtypes[dtype];
  const stored = new array(new ArrayBuffer(data.length * bytes));
  if (stored instanceof BigInt64Array) for (const [i, value] of data.entries()) stored[i] = BigInt(value);
  else for (const [i, value] of data.entries()) stored[i] = store(value);
  return tensor(dtype, shape, stored);
}

/** An array whose element at flat position `i` is `at(i)`, held as `dtype` holds it. */
export function fill(dtype: DType, shape: readonly number[], at: (i: number) => number): Wide {
  const { hold } = elements[dtype];
  const data = new Float64Array(elementCount(shape));
  for (let i = 0; i < data.length; i++) data[i] = hold(at(i));
  return { dtype, shape, data };
}

/** An array of zeros for `write` to fill; what it wrote is then held as `dtype` holds it. */
export function build(dtype: DType, shape: readonly number[], write: (data: Float64Array) => void): Wide {
  const data = new Float64Array(elementCount(shape));
  write(data);
  return { dtype, shape, data: data.map(elements[dtype].hold) };
}

/** For every element of `to`, the flat position of the element of `from` that broadcasts to it. */
export function broadcastPositions(from: readonly number[], to: readonly number[]): Int32Array {
  const steps = strides(from).map((step, axis) => (from[axis] === 1 ? 0 : step));
  const lead = to.length - from.length;
  return walk(to, (axis) => (axis < lead ? 0 : steps[axis - lead]!));
}

/** Flat positions reached by walking `shape` in row-major order with `step(axis)` elements a move. */
export function walk(shape: readonly number[], step: (axis: number) => number, from = 0): Int32Array {
  let positions = [from];
  for (const [axis, size] of shape.entries()) {
    const by = step(axis);
    const next: number[] = [];
    for (const position of positions) for (let i = 0; i < size; i++) next.push(position + i * by);
    positions = next;
  }
  return Int32Array.from(positions);
}

/** Row-major strides. */
export function strides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

/** `shape` seen as [outer, size, inner] around `axis`. */
export function around(
  shape: readonly number[],
  axis: number,
): { outer: number; size: number; inner: number } {
  const at = axis < 0 ? axis + shape.length : axis;
  return {
    outer: elementCount(shape.slice(0, at)),
    size: shape[at]!,
    inner: elementCount(shape.slice(at + 1)),
  };
}
