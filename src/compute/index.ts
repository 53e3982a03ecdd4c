/** A differentiable ONNX: tensors, graphs, models, runtimes. Has never heard of a language model. */
export { gradTable, gradients, recompute, vjp } from "./autodiff/index.ts";
export type { Cotangents, GradRule, GradTable } from "./autodiff/index.ts";
export {
  GraphBuilder,
  GraphError,
  addDims,
  bindInputs,
  broadcastShapes,
  canonical,
  evaluateDim,
  formatShape,
  multiplyDims,
  optimize,
  printGraph,
  printNode,
  removeDeadCode,
  sameShape,
  shapeSize,
  subtractDims,
  symbolsOf,
  verify,
} from "./graph/index.ts";
export type {
  CustomGradient,
  Dim,
  Graph,
  Node,
  Op,
  OpAttributes,
  Operand,
  Pass,
  Shape,
  Value,
} from "./graph/index.ts";
export { encodeModel, writeModel } from "./onnx/index.ts";
export type { EncodeOptions, EncodedModel, ExternalData } from "./onnx/index.ts";
export { adamWDefaults, adamWGraph, scheduleFactor } from "./optim/index.ts";
export type { AdamWOptions, Schedule, ScheduleKind } from "./optim/index.ts";
export {
  FeedError,
  evaluateNode,
  interpret,
  narrow,
  onnxRuntime,
  referenceRuntime,
  widen,
} from "./runtime/index.ts";
export type {
  CompileOptions,
  DeviceTensor,
  DeviceWrite,
  Feed,
  MemoryUse,
  OnnxRuntimeOptions,
  Program,
  Provider,
  RunOptions,
  RunResult,
  Runtime,
  Wide,
} from "./runtime/index.ts";
export {
  dtypes,
  elementCount,
  float32,
  int64,
  isFloat,
  scalar,
  tensor,
  tensorBytes,
  zeros,
} from "./tensor/index.ts";
export type { DType, DTypeArrays, Tensor } from "./tensor/index.ts";
