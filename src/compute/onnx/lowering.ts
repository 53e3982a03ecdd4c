/** How each op of ours is written in ONNX: the attributes of most, a few nodes for the rest. */
import { addDims } from "../graph/index.ts";
import type { Node, Op, OpAttributes, Value } from "../graph/index.ts";
import { dtypes } from "../tensor/index.ts";
import type { Emitter } from "./emitter.ts";
import type { Attribute } from "./messages.ts";

interface Names {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Attributes, where the op is ONNX's own in all but spelling; else the code that writes its nodes. */
type Lowering<K extends Op> =
  | { readonly attributes: (attributes: OpAttributes[K]) => readonly Attribute[] }
  | { readonly emit: (emitter: Emitter, node: Node<K>, names: Names) => void };

const int = (name: string, value: number): Attribute => ({ name, int: value });
const float = (name: string, value: number): Attribute => ({ name, float: value });

const plain = { attributes: (): readonly Attribute[] => [] };
const axis = { attributes: (a: { readonly axis: number }) => [int("axis", a.axis)] };

const reduction = {
  emit: (
    emitter: Emitter,
    node: Node<"ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin">,
    { inputs, outputs }: Names,
  ) => {
    const { axes, keepdims } = node.attributes;
    // ONNX reads an empty axis list as "all axes"; ours means none.
    if (axes.length === 0) emitter.node("Identity", inputs, outputs);
    else emitter.node(node.op, [inputs[0]!, emitter.int64s(axes)], outputs, [int("keepdims", keepdims)]);
  },
};

/** A row an op: a missing row does not compile. */
export const loweringTable: { readonly [K in Op]: Lowering<K> } = {
  Add: plain,
  Sub: plain,
  Mul: plain,
  Div: plain,
  Max: plain,
  Min: plain,
  Less: plain,
  Greater: plain,
  Equal: plain,
  Neg: plain,
  Abs: plain,
  Exp: plain,
  Log: plain,
  Sqrt: plain,
  Reciprocal: plain,
  Sigmoid: plain,
  Tanh: plain,
  Where: plain,
  BitwiseAnd: plain,
  BitShift: { attributes: ({ direction }) => [{ name: "direction", string: direction }] },
  MatMul: plain,
  MatMulInteger: plain,
  DynamicQuantizeMatMul: plain,
  Cast: { attributes: ({ to }) => [int("to", dtypes[to].onnx)] },
  QuickGelu: { attributes: ({ alpha }) => [float("alpha", alpha)] },
  FusedMatMul: {
    attributes: ({ transA, transB, alpha }) => [
      int("transA", transA),
      int("transB", transB),
      float("alpha", alpha),
    ],
  },
  Softmax: axis,
  LogSoftmax: axis,
  Concat: axis,
  Gather: axis,
  GatherElements: axis,
  QuantizeLinear: axis,
  ReduceSum: reduction,
  ReduceMean: reduction,
  ReduceMax: reduction,
  ReduceMin: reduction,
  ArgMax: { attributes: (a) => [int("axis", a.axis), int("keepdims", a.keepdims)] },
  TopK: {
    emit: (emitter, { attributes }, { inputs, outputs }) =>
      emitter.node("TopK", [inputs[0]!, emitter.int64s([attributes.k])], outputs, [
        int("axis", attributes.axis),
        int("largest", 1),
        int("sorted", 1),
      ]),
  },
  Reshape: {
    emit: (emitter, node, { inputs, outputs }) => {
      const { shape, allowZero } = emitter.reshape(node.inputs[0]!, node.attributes.shape);
      emitter.node("Reshape", [inputs[0]!, shape], outputs, allowZero ? [int("allowzero", 1)] : []);
    },
  },
  Transpose: { attributes: ({ perm }) => [{ name: "perm", ints: perm }] },
  Slice: {
    emit: (emitter, { attributes }, { inputs, outputs }) => {
      const end = attributes.end === undefined ? emitter.end : emitter.int64s([attributes.end]);
      const start = emitter.int64s([attributes.start]);
      emitter.node("Slice", [inputs[0]!, start, end, emitter.int64s([attributes.axis])], outputs);
    },
  },
  Pad: {
    emit: (emitter, { attributes }, { inputs, outputs }) => {
      const pads = emitter.shape([addDims(attributes.before, 0), addDims(attributes.after, 0)]);
      emitter.node("Pad", [inputs[0]!, pads, "", emitter.int64s([attributes.axis])], outputs);
    },
  },
  Expand: {
    emit: (emitter, { attributes }, { inputs, outputs }) =>
      emitter.node("Expand", [inputs[0]!, emitter.shape(attributes.shape)], outputs),
  },
  ScatterND: { attributes: ({ reduction }) => [{ name: "reduction", string: reduction }] },
  SimplifiedLayerNormalization: {
    attributes: (a) => [int("axis", a.axis), float("epsilon", a.epsilon), int("stash_type", 1)],
  },
  SkipSimplifiedLayerNormalization: {
    emit: (emitter, { attributes }, { inputs, outputs }) =>
      // Outputs 1 and 2, mean and inverse deviation, belong to training builds only.
      emitter.node(
        "SkipSimplifiedLayerNormalization",
        inputs,
        [outputs[0]!, "", "", outputs[1]!],
        [float("epsilon", attributes.epsilon)],
        "com.microsoft",
      ),
  },
  RotaryEmbedding: {
    attributes: (a) => [int("interleaved", a.interleaved), int("num_heads", a.num_heads)],
  },
  GroupQueryAttention: {
    attributes: (a) => [
      int("num_heads", a.num_heads),
      int("kv_num_heads", a.kv_num_heads),
      int("do_rotary", a.do_rotary),
      int("rotary_interleaved", 0),
      float("scale", a.scale),
      int("local_window_size", a.local_window_size),
    ],
  },
  DequantizeLinear: {
    attributes: (a) => [int("axis", a.axis), ...(a.block_size > 0 ? [int("block_size", a.block_size)] : [])],
  },
  QGemm: {
    attributes: (a) => [int("transA", a.transA), int("transB", a.transB), float("alpha", a.alpha)],
  },
  MatMulNBits: {
    attributes: (a) => [
      int("K", a.K),
      int("N", a.N),
      int("bits", a.bits),
      int("block_size", a.block_size),
      int("accuracy_level", a.accuracy_level),
    ],
  },
  Barrier: {
    // x's own shape plus zeros that wait for the tokens: a Reshape that copies nothing, which no optimiser can
    // fold or merge because the shape is known only at run time.
    emit: (emitter, node, { inputs, outputs }) => {
      const same = emitter.int64s((node.inputs[0] as Value).shape.map(() => 0));
      const shape = inputs
        .slice(1)
        .reduce(
          (sum, name, i) => emitter.op("Add", [sum, emitter.zeroAfter(name, node.inputs[i + 1]!)]),
          same,
        );
      emitter.node("Reshape", [inputs[0]!, shape], outputs);
    },
  },
};
