/** Element types: their names, sizes, ONNX codes and typed arrays. */

export interface DTypeArrays {
  float32: Float32Array;
  /** Raw IEEE 754 half-precision bits. */
  float16: Uint16Array;
  /** Raw bits: the upper half of a float32. */
  bfloat16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int32: Int32Array;
  int64: BigInt64Array;
  /** One byte an element, 0 or 1. */
  bool: Uint8Array;
}

export type DType = keyof DTypeArrays;

interface DTypeSpec {
  readonly bytes: number;
  /** TensorProto.DataType. */
  readonly onnx: number;
  readonly array: new (
    lengthOrBuffer: ArrayBuffer,
    byteOffset?: number,
    length?: number,
  ) => DTypeArrays[DType];
}

export const dtypes: { readonly [D in DType]: DTypeSpec } = {
  float32: { bytes: 4, onnx: 1, array: Float32Array },
  uint8: { bytes: 1, onnx: 2, array: Uint8Array },
  int8: { bytes: 1, onnx: 3, array: Int8Array },
  int32: { bytes: 4, onnx: 6, array: Int32Array },
  int64: { bytes: 8, onnx: 7, array: BigInt64Array },
  bool: { bytes: 1, onnx: 9, array: Uint8Array },
  float16: { bytes: 2, onnx: 10, array: Uint16Array },
  bfloat16: { bytes: 2, onnx: 16, array: Uint16Array },
};

export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
}
