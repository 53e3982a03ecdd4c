/** Drops nodes and constants that no output depends on. Inputs stay: they are the program's signature. */
import type { Graph, Value } from "../graph.ts";
import { verify } from "../verify.ts";

export function removeDeadCode(graph: Graph): Graph {
  const live = new Set<Value>(graph.outputs.values());
  const nodes = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    for (const input of node.inputs) if (input !== undefined) live.add(input);
    nodes.push(node);
  }
  const constants = new Map([...graph.constants].filter(([value]) => live.has(value)));
  return verify({ ...graph, nodes: nodes.reverse(), constants });
}
