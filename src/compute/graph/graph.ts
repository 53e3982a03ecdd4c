/** The graph itself: values, nodes, constants. Plain data; a builder makes it, passes rewrite it. */
import type { DType, Tensor } from "../tensor/index.ts";
import type { Dim, Shape } from "./dims.ts";

/** One result, input or constant of a graph. Compared by identity. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** An axis list, a size list and so on, by op. Names are ONNX's where ONNX has the attribute. */
export interface OpAttributes {
  // element by element, two operands, broadcast
  Add: {};
  Sub: {};
  Mul: {};
  Div: {};
  Max: {};
  Min: {};
  Less: {};
  Greater: {};
  Equal: {};
  // element by element, one operand
  Neg: {};
  Abs: {};
  Exp: {};
  Log: {};
  Sqrt: {};
  Reciprocal: {};
  Sigmoid: {};
  Tanh: {};
  Cast: { readonly to: DType };
  /** x · sigmoid(alpha · x). alpha 1 is SiLU. (com.microsoft) */
  QuickGelu: { readonly alpha: number };
  /** condition ? a : b, broadcast. */
  Where: {};
  /** Bit by bit, uint8 or int8, broadcast. */
  BitwiseAnd: {};
  /** uint8 shifted by as many bits as the second operand says, broadcast; what leaves the byte is lost. */
  BitShift: { readonly direction: "LEFT" | "RIGHT" };
  // products
  MatMul: {};
  /** alpha · op(A) · op(B); op transposes the last two axes where asked. (com.microsoft) */
  FusedMatMul: { readonly transA: 0 | 1; readonly transB: 0 | 1; readonly alpha: number };
  // along axes
  Softmax: { readonly axis: number };
  LogSoftmax: { readonly axis: number };
  ReduceSum: { readonly axes: readonly number[]; readonly keepdims: 0 | 1 };
  ReduceMean: { readonly axes: readonly number[]; readonly keepdims: 0 | 1 };
  ReduceMax: { readonly axes: readonly number[]; readonly keepdims: 0 | 1 };
  ReduceMin: { readonly axes: readonly number[]; readonly keepdims: 0 | 1 };
  ArgMax: { readonly axis: number; readonly keepdims: 0 | 1 };
  TopK: { readonly k: number; readonly axis: number };
  // layout
  Reshape: { readonly shape: Shape };
  Transpose: { readonly perm: readonly number[] };
  /** [start, end) of one axis; negative counts from the end; an absent end means to the end. */
  Slice: { readonly axis: number; readonly start: number; readonly end?: number };
  Concat: { readonly axis: number };
  /** Zeros before and after along one axis. */
  Pad: { readonly axis: number; readonly before: Dim; readonly after: Dim };
  Expand: { readonly shape: Shape };
  /** data indexed along `axis` by an index tensor of any rank. */
  Gather: { readonly axis: number };
  /** data [N, C] looked up in its own row by `index` [N, M] of int32 or int64 → [N, M]. */
  GatherElements: { readonly axis: 1 };
  /** data with `updates` [N, …] added at rows `indices` [N, 1] of its first axis. */
  ScatterND: { readonly reduction: "none" | "add" };
  // language model kernels
  /** (x, scale) → (normalised, 1/rms): RMS normalisation over the last axis. */
  SimplifiedLayerNormalization: { readonly axis: number; readonly epsilon: number };
  /** (x, skip, scale) → (normalised, x + skip). (com.microsoft) */
  SkipSimplifiedLayerNormalization: { readonly epsilon: number };
  /** (x [B, S, H·E], positions [B, S], cos [P, E/2], sin [P, E/2]); halves rotated. (com.microsoft) */
  RotaryEmbedding: { readonly interleaved: 0 | 1; readonly num_heads: number };
  /**
   * (query, key?, value?, pastKey, pastValue, seqlensK, totalLength, cos, sin) → (output, presentKey, presentValue).
   * With key and value absent the query is packed q|k|v. (com.microsoft)
   */
  GroupQueryAttention: {
    readonly num_heads: number;
    readonly kv_num_heads: number;
    readonly do_rotary: 0 | 1;
    readonly scale: number;
    readonly local_window_size: number;
  };
  // quantised
  /** (x, scale, zeroPoint) → integers, along `axis`. */
  QuantizeLinear: { readonly axis: number };
  /** (q, scale, zeroPoint?) → float32, along `axis`, in blocks where block_size > 0. */
  DequantizeLinear: { readonly axis: number; readonly block_size: number };
  /** u8 [M, K] × s8 [K, N] → int32. (zero points as inputs 3 and 4) */
  MatMulInteger: {};
  /** (A u8, aScale, aZero, B s8, bScale, bZero) → alpha · A · op(B) in float32. (com.microsoft) */
  QGemm: { readonly transA: 0 | 1; readonly transB: 0 | 1; readonly alpha: number };
  /** x [.., K] × blocks of N rows, `bits` wide → [.., N]. (com.microsoft) */
  MatMulNBits: {
    readonly K: number;
    readonly N: number;
    readonly bits: number;
    readonly block_size: number;
    readonly accuracy_level: number;
  };
  /** float x [.., K] quantised on the fly × s8 [K, N] with scale and zero point by column. (com.microsoft) */
  DynamicQuantizeMatMul: {};
  /** (x, ...tokens): x unchanged, but not before all tokens exist, and never merged with x by a pass. (ours) */
  Barrier: {};
}

export type Op = keyof OpAttributes;

export interface Node<K extends Op = Op> {
  readonly op: K;
  /** An absent optional input is `undefined`. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: OpAttributes[K];
}

/** Nodes stand in an order in which each follows what it reads. */
export interface Graph {
  readonly inputs: readonly Value[];
  readonly constants: ReadonlyMap<Value, Tensor>;
  readonly nodes: readonly Node[];
  /** By output name. */
  readonly outputs: ReadonlyMap<string, Value>;
}

/** A graph that cannot be: names the op, the values and both shapes. */
export class GraphError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = "GraphError";
  }
}
