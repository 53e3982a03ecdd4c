/** Typed graphs: ops, shapes, builder, verifier, printer, passes. Knows no runtime. */
export { GraphBuilder } from "./builder.ts";
export type { CustomGradient, Operand } from "./builder.ts";
export {
  addDims,
  broadcastShapes,
  canonical,
  evaluateDim,
  formatShape,
  multiplyDims,
  sameShape,
  shapeSize,
  subtractDims,
  symbolsOf,
  termsOf,
} from "./dims.ts";
export type { Dim, Shape } from "./dims.ts";
export { GraphError } from "./graph.ts";
export type { Graph, Node, Op, OpAttributes, Value } from "./graph.ts";
export { opTable } from "./ops/index.ts";
export type { OpSpec, OpTable } from "./op-spec.ts";
export {
  autocast,
  bindInputs,
  foldConstants,
  fuse,
  halfActivations,
  makePortable,
  recomputeCheap,
  mergeCommonSubexpressions,
  optimize,
  removeDeadCode,
  shiftInt8,
  simplify,
  viewRows,
} from "./passes/index.ts";
export type {
  AutocastOptions,
  Evaluate,
  HalfActivationsOptions,
  HalfType,
  Pass,
  RowView,
} from "./passes/index.ts";
export { printGraph, printNode } from "./print.ts";
export { byteCounter, symbolSizes } from "./sizes.ts";
export type { SymbolSizes } from "./sizes.ts";
export { verify } from "./verify.ts";
export { nodeBytes, productKind, productOperations, workCounter } from "./work.ts";
export type { ProductKind, Work } from "./work.ts";
