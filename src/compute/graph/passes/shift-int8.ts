/** int8 as uint8 around 128, for processors whose products of uint8 by int8 are not exact. */
import { type Tensor, shiftBytes, tensor } from "../../tensor/index.ts";
import type { Graph, Node, Op, Value } from "../graph.ts";
import { verify } from "../verify.ts";
import { emitter } from "./emit.ts";

/** What moves elements, of whatever type. */
const moving: readonly Op[] = [
  "Barrier",
  "Concat",
  "Expand",
  "Gather",
  "GatherElements",
  "Reshape",
  "Slice",
  "Transpose",
];

/** What takes the zero of codes from an operand: that of each operand of codes, by number. QuantizeLinear has it with its zero. */
const withZero: { readonly [K in Op]?: readonly (readonly [codes: number, zero: number])[] } = {
  QuantizeLinear: [],
  DequantizeLinear: [[0, 2]],
  // oxfmt-ignore
  MatMulInteger: [[0, 2], [1, 3]],
  // oxfmt-ignore
  QGemm: [[0, 2], [3, 5]],
  DynamicQuantizeMatMul: [[1, 3]],
};

/** Whose zeros have the shape of an operand; else of a scalar. */
const scaleOf: { readonly [K in Op]?: number } = { DequantizeLinear: 1, DynamicQuantizeMatMul: 2 };

/**
 * The same graph with each int8 value v as the uint8 value v + 128, inputs, constants and outputs included. Ops that move
 * elements or take their zero from an operand compute as before; int8 operands of any other are converted for it.
 */
export function shiftInt8(graph: Graph): Graph {
  const shifted = new Map<Value, Value>();
  const shift = (value: Value): Value => {
    if (value.dtype !== "int8") return value;
    const other = shifted.get(value) ?? { ...value, dtype: "uint8" };
    shifted.set(value, other);
    return other;
  };
  const constants = new Map<Value, Tensor>();
  for (const [value, content] of graph.constants) {
    const int8 = content.dtype === "int8";
    constants.set(shift(value), int8 ? shiftBytes({ ...content, data: content.data.slice() }) : content);
  }
  const nodes: Node[] = [];
  const { emit, addConstant } = emitter(graph, (node) => nodes.push(node), constants);
  const by128 = (op: "Add" | "Sub", value: Value): Value =>
    emit(
      op,
      [emit("Cast", [value], { to: "int32" }), addConstant(tensor("int32", [], Int32Array.of(128)))],
      {},
    );
  const zeroOf = (node: Node): Value => {
    const middle = (shape: readonly number[]): Value =>
      addConstant(tensor("uint8", shape, Uint8Array.of(128)));
    const scale = node.inputs[scaleOf[node.op] ?? -1];
    if (scale === undefined || scale.shape.length === 0) return middle([]);
    return emit("Expand", [middle(scale.shape.map(() => 1))], { shape: scale.shape });
  };

  for (const node of graph.nodes) {
    const zeros = withZero[node.op];
    if (![...node.inputs, ...node.outputs].some((value) => value?.dtype === "int8")) nodes.push(node);
    else if (zeros !== undefined || moving.includes(node.op)) {
      const inputs = node.inputs.map((value) => value && shift(value));
      for (const [codes, zero] of zeros ?? [])
        if (node.inputs[codes]!.dtype === "int8") inputs[zero] ??= zeroOf(node);
      nodes.push({ ...node, inputs: Array.from(inputs), outputs: node.outputs.map(shift) });
    } else {
      const inputs = node.inputs.map((value) =>
        value?.dtype === "int8" ? emit("Cast", [by128("Sub", shift(value))], { to: "int8" }) : value,
      );
      nodes.push({ ...node, inputs });
      for (const output of node.outputs)
        if (output.dtype === "int8")
          shifted.set(output, emit("Cast", [by128("Add", output)], { to: "uint8" }));
    }
  }
  const outputs = new Map([...graph.outputs].map(([output, value]) => [output, shift(value)]));
  return verify({ inputs: graph.inputs.map(shift), constants, nodes, outputs });
}
