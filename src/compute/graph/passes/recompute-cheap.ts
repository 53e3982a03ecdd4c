/** What one pass over memory computes is computed again for the backward pass rather than kept for it. */
import { isFloat } from "../../tensor/index.ts";
import type { Graph, Node, Op, Value } from "../graph.ts";
import { verify } from "../verify.ts";

/** One pass over their operands; of float32 only, so that a rounding is not repeated on other values. */
const cheap: ReadonlySet<Op> = new Set(["SimplifiedLayerNormalization", "Where"] as const);

/**
 * The first `forward` nodes are the forward pass. Where the backward pass reads a cheap result whose operands are there
 * anyway (inputs, constants, or themselves read by the backward pass), a copy behind a barrier stands for it: the
 * normalised input of a LoRA layer, also after dropout. Copies are made once, at their first reader.
 */
export function recomputeCheap(graph: Graph, forward: number): Graph {
  const backward = graph.nodes.slice(forward);
  const producer = new Map<Value, Node>();
  for (const node of graph.nodes.slice(0, forward))
    for (const value of node.outputs) producer.set(value, node);
  const readLate = new Set(backward.flatMap(({ inputs }) => inputs));
  const madeLate = new Set(backward.flatMap(({ outputs }) => outputs));
  const isLate = (value: Value | undefined): boolean =>
    value !== undefined && madeLate.has(value) && isFloat(value.dtype);
  const chosen = new Map<Value, boolean>();
  const isChosen = (value: Value | undefined): boolean => {
    const node = value === undefined ? undefined : producer.get(value);
    if (value === undefined || node === undefined) return false;
    let answer = chosen.get(value);
    if (answer === undefined) {
      answer =
        cheap.has(node.op) &&
        value === node.outputs[0] &&
        value.dtype === "float32" &&
        node.inputs.every(
          (operand) =>
            operand === undefined || !producer.has(operand) || readLate.has(operand) || isChosen(operand),
        );
      chosen.set(value, answer);
    }
    return answer;
  };

  const nodes: Node[] = graph.nodes.slice(0, forward);
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value, token: Value): Value => {
    const made = copies.get(value);
    if (made !== undefined) return made;
    const node = producer.get(value)!;
    const inputs = node.inputs.map((operand) => {
      if (operand === undefined || !producer.has(operand)) return operand;
      if (isChosen(operand)) return copyOf(operand, token);
      const waiting = { ...operand, name: `${operand.name}_for_${value.name}` };
      nodes.push({ op: "Barrier", inputs: [operand, token], outputs: [waiting], attributes: {} });
      return waiting;
    });
    const outputs = node.outputs.map((output) => ({ ...output, name: `${output.name}_again` }));
    nodes.push({ ...node, inputs, outputs } as Node);
    copies.set(value, outputs[0]!);
    return outputs[0]!;
  };
  /** What the backward pass has last made: a reader without such an operand of its own comes right after it. */
  let latest: Value | undefined;
  for (const node of backward) {
    const token = node.inputs.find((operand) => isLate(operand)) ?? latest;
    const inputs =
      token === undefined
        ? node.inputs
        : node.inputs.map((operand) =>
            operand !== undefined && isChosen(operand) ? copyOf(operand, token) : operand,
          );
    nodes.push({ ...node, inputs } as Node);
    latest = node.outputs.find((output) => isLate(output)) ?? latest;
  }
  return verify({ ...graph, nodes });
}
