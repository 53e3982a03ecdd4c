/** Element types and host tensors. */
export { blockBytes, dequantiseBlocks, fitsBlocks, quantiseBlocks, quantisedFormat } from "./blocks.ts";
export type { BlockCode, BlockFormat, BlockTensor } from "./blocks.ts";
export { dtypes, isFloat } from "./dtype.ts";
export type { DType, DTypeArrays } from "./dtype.ts";
export {
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
} from "./half.ts";
export { nf4Values } from "./nf4.ts";
export { elementCount, float32, int64, scalar, shiftBytes, tensor, tensorBytes, zeros } from "./tensor.ts";
export type { Tensor } from "./tensor.ts";
