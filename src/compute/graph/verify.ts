/** Proves that a graph is well formed: run after a build and after every pass. */
import { elementCount } from "../tensor/index.ts";
import { formatShape, sameShape } from "./dims.ts";
import { type Graph, GraphError, type Node, type Op, type Value } from "./graph.ts";
import type { ValueType } from "./infer.ts";
import { opTable } from "./ops/index.ts";
import { printNode } from "./print.ts";

/** Nodes whose results had the inferred types: neither nodes nor values ever change, and most outlive a pass. */
const typed = new WeakSet<Node>();

/**
 * Every value has one origin and one name and exists before it is read; every result has the type that the op table
 * infers; constants match their declaration; outputs exist. Returns the graph; throws `GraphError` naming the node.
 */
export function verify(graph: Graph): Graph {
  const known = new Set<Value>();
  const names = new Set<string>();
  const define = (value: Value, by: Node | string): void => {
    const where = (): string => (typeof by === "string" ? by : printNode(by));
    if (known.has(value)) throw new GraphError(`${value.name} is defined a second time by ${where()}`);
    if (names.has(value.name))
      throw new GraphError(`the name ${value.name} is taken a second time by ${where()}`);
    known.add(value);
    names.add(value.name);
  };
  for (const input of graph.inputs) define(input, "an input");
  for (const [value, { dtype, shape, data }] of graph.constants) {
    define(value, "a constant");
    if (dtype !== value.dtype || !sameShape(shape, value.shape) || data.length !== elementCount(shape)) {
      throw new GraphError(
        `the constant ${describe(value)} holds ${dtype}${formatShape(shape)} with ${data.length} elements`,
      );
    }
  }
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (input !== undefined && !known.has(input)) {
        throw new GraphError(`${printNode(node)}: ${input.name} does not exist before it is read`);
      }
    }
    for (const output of node.outputs) define(output, node);
    if (typed.has(node)) continue;
    checkTypes(node);
    typed.add(node);
  }
  for (const [name, value] of graph.outputs) {
    if (!known.has(value)) throw new GraphError(`the output ${name} is ${value.name}, which does not exist`);
  }
  return graph;
}

function checkTypes(node: Node): void {
  const inferred = infer(node);
  if (inferred.length !== node.outputs.length) {
    throw new GraphError(
      `${printNode(node)}: has ${node.outputs.length} results, ${inferred.length} are inferred`,
    );
  }
  for (const [i, { name, dtype, shape }] of node.outputs.entries()) {
    const wanted = inferred[i]!;
    if (wanted.dtype !== dtype || !sameShape(wanted.shape, shape)) {
      throw new GraphError(
        `${printNode(node)}: ${name} should be ${wanted.dtype}${formatShape(wanted.shape)}`,
      );
    }
  }
}

const describe = (value: Value): string => `${value.name}: ${value.dtype}${formatShape(value.shape)}`;

function infer<K extends Op>(node: Node<K>): readonly ValueType[] {
  const spec = opTable[node.op];
  const [fewest, most] = spec.arity;
  if (node.inputs.length < fewest || node.inputs.length > most) {
    throw new GraphError(`${printNode(node as Node)}: takes ${fewest} to ${most} operands`);
  }
  return spec.infer(node.inputs, node.attributes);
}
