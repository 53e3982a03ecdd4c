/** A dense, row-major host tensor with concrete sizes. */
import { type DType, type DTypeArrays, dtypes } from "./dtype.ts";

export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DTypeArrays[D];
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Wraps `data` (not copied); its length must be the product of `shape`. */
export function tensor<D extends DType>(dtype: D, shape: readonly number[], data: DTypeArrays[D]): Tensor<D> {
  const count = elementCount(shape);
  if (data.length !== count) {
    throw new Error(`tensor ${dtype}[${shape.join(", ")}] needs ${count} elements, got ${data.length}`);
  }
  return { dtype, shape, data };
}

export function zeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
  const data = new dtypes[dtype].array(new ArrayBuffer(elementCount(shape) * dtypes[dtype].bytes));
  return tensor(dtype, shape, data as DTypeArrays[D]);
}

export function float32(shape: readonly number[], values: ArrayLike<number>): Tensor<"float32"> {
  return tensor("float32", shape, values instanceof Float32Array ? values : Float32Array.from(values));
}

export function int64(shape: readonly number[], values: ArrayLike<number>): Tensor<"int64"> {
  return tensor("int64", shape, BigInt64Array.from(Array.from(values, BigInt)));
}

export function scalar(value: number): Tensor<"float32"> {
  return tensor("float32", [], Float32Array.of(value));
}

/** The tensor's bytes, as a view on its memory. */
export function tensorBytes(value: Tensor): Uint8Array {
  return new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
}

/** An int8 tensor as uint8 around 128, or such a one as int8 again: in place, on the same memory. */
export function shiftBytes({ dtype, shape, data }: Tensor): Tensor<"int8" | "uint8"> {
  const { buffer, byteOffset, length } = data;
  const bytes = new Uint8Array(buffer, byteOffset, length);
  for (let i = 0; i < length; i++) bytes[i]! ^= 128;
  if (dtype === "int8") return tensor("uint8", shape, bytes);
  return tensor("int8", shape, new Int8Array(buffer, byteOffset, length));
}
