/** A graph as text, one line a node, for snapshots and error messages. */
import type { Tensor } from "../tensor/index.ts";
import { formatShape } from "./dims.ts";
import type { Graph, Node, Value } from "./graph.ts";

const typed = (value: Value): string => `${value.name}: ${value.dtype}${formatShape(value.shape)}`;

function attribute(value: unknown): string {
  return Array.isArray(value) ? `[${value.join(", ")}]` : String(value);
}

/** `y: float32[T, 4] = FusedMatMul(x, w, transA=0, transB=1, alpha=1)`. */
export function printNode(node: Node): string {
  const inputs = node.inputs.map((value) => value?.name ?? "-");
  const attributes = Object.entries(node.attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${attribute(value)}`);
  return `${node.outputs.map(typed).join(", ")} = ${node.op}(${[...inputs, ...attributes].join(", ")})`;
}

/** The first elements of a constant. */
function content(tensor: Tensor): string {
  const shown = Array.from(tensor.data.slice(0, 4), String);
  const more = tensor.data.length > shown.length ? ", …" : "";
  return tensor.shape.length === 0 ? shown.join("") : `{${shown.join(", ")}${more}}`;
}

/** Inputs, constants, nodes and outputs in order, one line each. */
export function printGraph(graph: Graph): string {
  return [
    ...graph.inputs.map((input) => `input ${typed(input)}`),
    ...[...graph.constants].map(([value, tensor]) => `constant ${typed(value)} = ${content(tensor)}`),
    ...graph.nodes.map(printNode),
    ...[...graph.outputs].map(([name, value]) => `output ${name} = ${value.name}`),
  ].join("\n");
}
