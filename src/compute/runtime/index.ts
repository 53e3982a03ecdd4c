/** Runtimes: onnxruntime in a worker thread, and the slow reference interpreter. */
export { Arena } from "./arena.ts";
export { physicalCores } from "./cores.ts";
export { FeedError } from "./feeds.ts";
export { smallNumbers, timeNode } from "./kernels.ts";
export { bufferEvents, executionOrder, liveBytes } from "./memory-plan.ts";
export type { BufferEvent } from "./memory-plan.ts";
export { onnxRuntime } from "./onnxruntime.ts";
export type { OnnxRuntimeOptions, Provider } from "./onnxruntime.ts";
export { evaluateNode, interpret, narrow, referenceRuntime, widen } from "./reference/index.ts";
export type { Wide } from "./reference/index.ts";
export type {
  CompileOptions,
  DeviceTensor,
  DeviceWrite,
  Feed,
  MemoryUse,
  Program,
  RunOptions,
  RunResult,
  Runtime,
} from "./runtime.ts";
