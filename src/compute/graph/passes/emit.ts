/** Nodes and constants that a pass adds to a graph, under names that nothing in it has. */
import type { Tensor } from "../../tensor/index.ts";
import { canonical } from "../dims.ts";
import type { Graph, Node, Op, OpAttributes, Value } from "../graph.ts";
import { opTable } from "../ops/index.ts";

export interface Emitter {
  /** Adds a node and returns its first result, whose name begins with `hint`, or with the op's. */
  emit<K extends Op>(op: K, inputs: readonly Value[], attributes: OpAttributes[K], hint?: string): Value;
  addConstant(content: Tensor): Value;
}

/** For a pass over `graph` that collects what there will be: nodes with `append`, constants in `constants`. */
export function emitter(
  graph: Graph,
  append: (node: Node) => void,
  constants = new Map<Value, Tensor>(),
): Emitter {
  const names = new Set<string>();
  for (const { name } of graph.inputs) names.add(name);
  for (const { name } of graph.constants.keys()) names.add(name);
  for (const { outputs } of graph.nodes) for (const { name } of outputs) names.add(name);
  let counter = 0;
  const fresh = (hint: string): string => {
    let name = `${hint}_r${counter++}`;
    while (names.has(name)) name = `${hint}_r${counter++}`;
    names.add(name);
    return name;
  };
  return {
    emit: (op, inputs, attributes, hint = op) => {
      const outputs = opTable[op]
        .infer(inputs, attributes)
        .map(({ dtype, shape }) => ({ name: fresh(hint), dtype, shape: shape.map(canonical) }));
      append({ op, inputs, outputs, attributes } as unknown as Node);
      return outputs[0]!;
    },
    addConstant: (content) => {
      const value = { name: fresh("c"), dtype: content.dtype, shape: content.shape };
      constants.set(value, content);
      return value;
    },
  };
}
