/** The walk that passes share: node by node in order, each kept or replaced by values made on the spot. */
import type { Tensor } from "../../tensor/index.ts";
import { sameShape } from "../dims.ts";
import { type Graph, GraphError, type Node, type Value } from "../graph.ts";
import { verify } from "../verify.ts";
import { type Emitter, emitter } from "./emit.ts";

export type Pass = (graph: Graph) => Graph;

/** What a rule may ask and do while the walk stands at a node. */
export interface Tools extends Emitter {
  /** The node that computes `value`, as rewritten so far. */
  producer(value: Value | undefined): Node | undefined;
  /** How many times `value`, or what it stands for, is read; an output counts as one. Too many where a reader is dead. */
  uses(value: Value): number;
  constant(value: Value | undefined): Tensor | undefined;
}

/** Values to stand for the node's results, or `undefined` to keep the node. */
export type Rule = (node: Node, tools: Tools) => readonly Value[] | undefined;

/** Applies `rule` to every node once, in order; what a replaced node leaves unread is for `removeDeadCode`. */
export function rewrite(graph: Graph, rule: Rule): Graph {
  const replaced = new Map<Value, Value>();
  const producers = new Map<Value, Node>();
  const constants = new Map(graph.constants);
  const nodes: Node[] = [];
  const counts = countUses(graph);
  const count = (value: Value | undefined, by: number): void => {
    if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + by);
  };
  const append = (node: Node): void => {
    nodes.push(node);
    for (const output of node.outputs) producers.set(output, node);
  };
  const { emit, addConstant } = emitter(graph, append, constants);
  const tools: Tools = {
    producer: (value) => (value === undefined ? undefined : producers.get(value)),
    uses: (value) => counts.get(value) ?? 0,
    constant: (value) => (value === undefined ? undefined : constants.get(value)),
    emit: (op, inputs, attributes, hint) => {
      for (const input of inputs) count(input, 1);
      return emit(op, inputs, attributes, hint);
    },
    addConstant,
  };
  const current = (value: Value | undefined): Value | undefined =>
    value === undefined ? undefined : (replaced.get(value) ?? value);
  for (const node of graph.nodes) {
    const changed = node.inputs.some((input) => input !== undefined && replaced.has(input));
    const present = changed ? { ...node, inputs: node.inputs.map(current) } : node;
    const values = rule(present, tools);
    if (values === undefined) append(present);
    else {
      for (const [i, output] of node.outputs.entries()) {
        const value = fitting(node, output, values[i]);
        replaced.set(output, value);
        count(value, tools.uses(output));
      }
      for (const input of present.inputs) count(input, -1);
    }
  }
  const outputs = new Map([...graph.outputs].map(([name, value]) => [name, current(value)!]));
  return verify({ inputs: graph.inputs, constants, nodes, outputs });
}

function fitting(node: Node, output: Value, value: Value | undefined): Value {
  if (value === undefined || value.dtype !== output.dtype || !sameShape(value.shape, output.shape)) {
    throw new GraphError(
      `a pass replaced ${output.name} of ${node.op} by ${value?.name ?? "nothing"} of another type`,
    );
  }
  return value;
}

function countUses(graph: Graph): Map<Value, number> {
  const counts = new Map<Value, number>();
  const count = (value: Value | undefined): void => {
    if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  };
  for (const node of graph.nodes) node.inputs.forEach(count);
  for (const value of graph.outputs.values()) count(value);
  return counts;
}

/** The one number that every element of a small constant has. */
export function uniformValue(content: Tensor | undefined): number | undefined {
  if (content === undefined || content.data.length === 0 || content.data.length > 256) return undefined;
  const first = content.data[0]!;
  if (content.dtype === "float16" || content.dtype === "bfloat16") return undefined;
  return content.data.every((value: number | bigint) => value === first) ? Number(first) : undefined;
}
