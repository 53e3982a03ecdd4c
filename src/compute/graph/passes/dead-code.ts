/**
 * Drops nodes and constants that no output depends on, and the tokens that nothing but a barrier waits for. Inputs stay:
 * they are the program's signature.
 */
import type { Graph, Node, Value } from "../graph.ts";
import { verify } from "../verify.ts";
import { rewrite } from "./rewrite.ts";

export function removeDeadCode(graph: Graph): Graph {
  const live = new Set<Value>(graph.outputs.values());
  const dead = new Set<Value>();
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => live.has(output))) {
      for (const output of node.outputs) dead.add(output);
      continue;
    }
    const read = node.op === "Barrier" ? node.inputs.slice(0, 1) : node.inputs;
    for (const input of read) if (input !== undefined) live.add(input);
    nodes.push(node);
  }
  const isDead = (token: Value | undefined): boolean => token !== undefined && dead.has(token);
  const waited = new Set(nodes.flatMap(({ op, inputs }) => (op === "Barrier" ? inputs.slice(1) : [])));
  const constants = new Map([...graph.constants].filter(([value]) => live.has(value) || waited.has(value)));
  const rest: Graph = { ...graph, nodes: nodes.reverse(), constants };
  if (![...waited].some(isDead)) return verify(rest);
  return rewrite(rest, (node, tools) => {
    if (node.op !== "Barrier" || !node.inputs.some(isDead)) return undefined;
    const [x, ...tokens] = node.inputs as [Value, ...Value[]];
    const needed = tokens.filter((token) => !isDead(token));
    return [needed.length === 0 ? x : tools.emit("Barrier", [x, ...needed], {})];
  });
}
