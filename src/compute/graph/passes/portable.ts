/** Takes onnxruntime's own element-wise and product kernels apart, for providers that lack them. */
import { scalar } from "../../tensor/index.ts";
import type { Graph, Node, OpAttributes, Value } from "../graph.ts";
import { type Tools, rewrite } from "./rewrite.ts";

/** FusedMatMul → Transpose, MatMul, Mul; QuickGelu → Mul, Sigmoid, Mul. */
export function makePortable(graph: Graph): Graph {
  const numbers = new Map<number, Value>();
  return rewrite(graph, (node, tools) => {
    const times = (x: Value, factor: number): Value => {
      if (factor === 1) return x;
      let value = numbers.get(factor);
      if (value === undefined) numbers.set(factor, (value = tools.addConstant(scalar(factor))));
      // The factor is float32; a half-precision product needs one of its own type.
      const typed = x.dtype === "float32" ? value : tools.emit("Cast", [value], { to: x.dtype });
      return tools.emit("Mul", [x, typed], {});
    };
    if (node.op === "FusedMatMul") {
      const { transA, transB, alpha } = node.attributes as OpAttributes["FusedMatMul"];
      const [a, b] = node.inputs as [Value, Value];
      const product = tools.emit("MatMul", [transposed(a, transA, tools), transposed(b, transB, tools)], {});
      return [times(product, alpha)];
    }
    if (node.op === "QuickGelu") {
      const { alpha } = (node as Node<"QuickGelu">).attributes;
      const x = node.inputs[0]!;
      return [tools.emit("Mul", [x, tools.emit("Sigmoid", [times(x, alpha)], {})], {})];
    }
    return undefined;
  });
}

function transposed(x: Value, transpose: 0 | 1, tools: Tools): Value {
  if (transpose === 0) return x;
  const rank = x.shape.length;
  const perm = [...Array(rank - 2).keys(), rank - 1, rank - 2];
  return tools.emit("Transpose", [x], { perm });
}
