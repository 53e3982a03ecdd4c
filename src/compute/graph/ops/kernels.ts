/** Shape rules of the language-model kernels of onnxruntime, and of the quantised ops. */
import { type Dim, canonical, multiplyDims, sameShape } from "../dims.ts";
import type { Op, Value } from "../graph.ts";
import { type Inputs, fail, matmulShape, normalAxis, required } from "../infer.ts";
import type { OpTable } from "../op-spec.ts";

function lastAxis(op: Op, inputs: Inputs, index: number, size: Dim): void {
  const value = required(op, inputs, index);
  if (!sameShape(value.shape, [size])) fail(op, inputs, `input ${index} must have the shape [${size}]`);
}

function typed(op: Op, inputs: Inputs, index: number, ...dtypes: readonly Value["dtype"][]): Value {
  const value = required(op, inputs, index);
  if (!dtypes.includes(value.dtype)) fail(op, inputs, `input ${index} must be ${dtypes.join(" or ")}`);
  return value;
}

type Kernel =
  | "SimplifiedLayerNormalization"
  | "SkipSimplifiedLayerNormalization"
  | "RotaryEmbedding"
  | "GroupQueryAttention";
type Quantised =
  | "QuantizeLinear"
  | "DequantizeLinear"
  | "MatMulInteger"
  | "QGemm"
  | "MatMulNBits"
  | "DynamicQuantizeMatMul";

export const kernelOps: Pick<OpTable, Kernel | Quantised> = {
  SimplifiedLayerNormalization: {
    arity: [2, 2],
    infer: (inputs, { axis }) => {
      const op = "SimplifiedLayerNormalization";
      const { dtype, shape } = required(op, inputs, 0);
      if (normalAxis(op, inputs, axis, shape.length) !== shape.length - 1)
        fail(op, inputs, "only the last axis is normalised");
      lastAxis(op, inputs, 1, shape.at(-1)!);
      return [
        { dtype, shape },
        { dtype: "float32", shape: [...shape.slice(0, -1), 1] },
      ];
    },
  },
  SkipSimplifiedLayerNormalization: {
    domain: "com.microsoft",
    arity: [3, 3],
    infer: (inputs) => {
      const op = "SkipSimplifiedLayerNormalization";
      const { dtype, shape } = required(op, inputs, 0);
      if (!sameShape(shape, required(op, inputs, 1).shape))
        fail(op, inputs, "x and skip must have one shape");
      lastAxis(op, inputs, 2, shape.at(-1)!);
      return [
        { dtype, shape },
        { dtype, shape },
      ];
    },
  },
  RotaryEmbedding: {
    domain: "com.microsoft",
    arity: [4, 4],
    infer: (inputs, { num_heads }) => {
      const op = "RotaryEmbedding";
      const { dtype, shape } = required(op, inputs, 0);
      const positions = typed(op, inputs, 1, "int64");
      const cos = required(op, inputs, 2);
      const sin = required(op, inputs, 3);
      if (shape.length !== 3 || !sameShape(positions.shape, shape.slice(0, 2))) {
        fail(op, inputs, "x must be [B, S, H·E] and positions [B, S]");
      }
      if (
        !sameShape(cos.shape, sin.shape) ||
        multiplyDims(cos.shape[1]!, 2 * num_heads) !== canonical(shape[2]!)
      ) {
        fail(op, inputs, `cos and sin must be [positions, E/2] for ${num_heads} heads`);
      }
      return [{ dtype, shape }];
    },
  },
  GroupQueryAttention: {
    domain: "com.microsoft",
    arity: [9, 9],
    infer: (inputs, { num_heads, kv_num_heads }) => {
      const op = "GroupQueryAttention";
      const query = required(op, inputs, 0);
      const past = required(op, inputs, 3);
      if (!sameShape(past.shape, required(op, inputs, 4).shape))
        fail(op, inputs, "past key and value must have one shape");
      const [batch, heads, pastSize, width] = past.shape;
      if (past.shape.length !== 4 || heads !== kv_num_heads || typeof width !== "number") {
        fail(op, inputs, `the past must be [B, ${kv_num_heads}, P, E]`);
      }
      const packed = inputs[1] === undefined;
      const expected = (packed ? num_heads + 2 * kv_num_heads : num_heads) * width;
      if (query.shape.length !== 3 || query.shape[2] !== expected)
        fail(op, inputs, `the query must be [B, S, ${expected}]`);
      typed(op, inputs, 5, "int32");
      typed(op, inputs, 6, "int32");
      // onnxruntime sizes the present by the total length it is given; the past plus the new tokens when none is padded.
      const present = [batch!, kv_num_heads, presentSize(pastSize!, query.shape[1]!), width];
      return [
        { dtype: query.dtype, shape: [query.shape[0]!, query.shape[1]!, num_heads * width] },
        { dtype: past.dtype, shape: present },
        { dtype: past.dtype, shape: present },
      ];
    },
  },
  QuantizeLinear: {
    arity: [3, 3],
    infer: (inputs, { axis }) => {
      const op = "QuantizeLinear";
      const { shape } = typed(op, inputs, 0, "float32");
      const scale = required(op, inputs, 1);
      if (scale.shape.length > 0) lastAxis(op, inputs, 1, shape[normalAxis(op, inputs, axis, shape.length)]!);
      if (!sameShape(scale.shape, required(op, inputs, 2).shape))
        fail(op, inputs, "scale and zero point must have one shape");
      return [{ dtype: typed(op, inputs, 2, "uint8", "int8").dtype, shape }];
    },
  },
  DequantizeLinear: {
    arity: [2, 3],
    infer: (inputs, { axis }) => {
      const op = "DequantizeLinear";
      const { shape } = typed(op, inputs, 0, "uint8", "int8", "int32");
      normalAxis(op, inputs, axis, Math.max(1, shape.length));
      return [{ dtype: typed(op, inputs, 1, "float32").dtype, shape }];
    },
  },
  MatMulInteger: {
    arity: [2, 4],
    infer: (inputs) => {
      typed("MatMulInteger", inputs, 0, "uint8", "int8");
      typed("MatMulInteger", inputs, 1, "uint8", "int8");
      return [{ dtype: "int32", shape: matmulShape("MatMulInteger", inputs) }];
    },
  },
  QGemm: {
    domain: "com.microsoft",
    arity: [6, 6],
    infer: (inputs, { transA, transB }) => {
      typed("QGemm", inputs, 0, "uint8", "int8");
      typed("QGemm", inputs, 3, "uint8", "int8");
      const weights = required("QGemm", inputs, 3);
      return [{ dtype: "float32", shape: matmulShape("QGemm", [inputs[0], weights], transA, transB) }];
    },
  },
  MatMulNBits: {
    domain: "com.microsoft",
    arity: [3, 4],
    infer: (inputs, { K, N, bits, block_size }) => {
      const op = "MatMulNBits";
      const { dtype, shape } = required(op, inputs, 0);
      if (shape.at(-1) !== K) fail(op, inputs, `x must end in K = ${K}`);
      const blocks = Math.ceil(K / block_size);
      const packed = typed(op, inputs, 1, "uint8");
      if (!sameShape(packed.shape, [N, blocks, (block_size * bits) / 8])) {
        fail(op, inputs, `the packed weights must be [${N}, ${blocks}, ${(block_size * bits) / 8}]`);
      }
      return [{ dtype, shape: [...shape.slice(0, -1), N] }];
    },
  },
  DynamicQuantizeMatMul: {
    domain: "com.microsoft",
    arity: [3, 4],
    infer: (inputs) => {
      typed("DynamicQuantizeMatMul", inputs, 0, "float32");
      typed("DynamicQuantizeMatMul", inputs, 1, "int8", "uint8");
      return [{ dtype: "float32", shape: matmulShape("DynamicQuantizeMatMul", inputs) }];
    },
  },
};

function presentSize(past: Dim, fresh: Dim): Dim {
  return past === 0
    ? fresh
    : typeof past === "number" && typeof fresh === "number"
      ? past + fresh
      : canonical(`${past}+${fresh}`);
}
