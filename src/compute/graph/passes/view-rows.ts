/** Rows of an input that are read by themselves become inputs of their own: whoever feeds it need not copy them. */
import { type Graph, type Node, type Value } from "../graph.ts";
import { verify } from "../verify.ts";
import { removeDeadCode } from "./dead-code.ts";

/** The input `name` is the rows [from, to) of the input `of`. */
export interface RowView {
  readonly name: string;
  readonly of: string;
  readonly from: number;
  readonly to: number;
}

/**
 * `graph` with an input of its own for each slice of the first axis of an input whose shape is in numbers. A barrier between the two
 * stands behind it then: what it puts off is still put off, and with it what else that reads.
 */
export function viewRows(graph: Graph): Viewed {
  const result = known.get(graph) ?? viewed(graph);
  known.set(graph, result);
  return result;
}

interface Viewed {
  readonly graph: Graph;
  readonly views: readonly RowView[];
}

/** A graph is planned for many sizes and compiled. */
const known = new WeakMap<Graph, Viewed>();

function viewed(graph: Graph): Viewed {
  const outputs = new Set(graph.outputs.values());
  const whole = new Map<Value, Waiting>(
    graph.inputs
      .filter(({ shape }) => shape.every(Number.isInteger))
      .map((input) => [input, { input, tokens: [] }]),
  );
  const views = new Map<string, RowView & { readonly value: Value }>();
  const replaced = new Map<Value, Value>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((value) => (value && replaced.get(value)) ?? value);
    const [source, ...others] = inputs;
    const waiting = source === undefined ? undefined : whole.get(source);
    const [result] = node.outputs as readonly [Value];
    if (waiting !== undefined && node.op === "Barrier")
      whole.set(result, { input: waiting.input, tokens: [...waiting.tokens, ...(others as Value[])] });
    if (waiting !== undefined && isRows(node) && !outputs.has(result)) {
      const { input, tokens } = waiting;
      const rows = input.shape[0] as number;
      const place = (at: number): number => Math.min(rows, Math.max(0, at < 0 ? at + rows : at));
      const { start, end = rows } = node.attributes;
      const [from, to] = [place(start), place(end)];
      const name = `${input.name}[${from}:${to}]`;
      const value = views.get(name)?.value ?? { name, dtype: input.dtype, shape: result.shape };
      views.set(name, { name, of: input.name, from, to, value });
      if (tokens.length === 0) replaced.set(result, value);
      else nodes.push({ op: "Barrier", inputs: [value, ...tokens], outputs: [result], attributes: {} });
    } else {
      nodes.push(inputs.every((input, i) => input === node.inputs[i]) ? node : { ...node, inputs });
    }
  }
  if (views.size === 0) return { graph, views: [] };
  const added = [...views.values()];
  return {
    graph: removeDeadCode(
      verify({ ...graph, inputs: [...graph.inputs, ...added.map(({ value }) => value)], nodes }),
    ),
    views: added.map(({ name, of, from, to }) => ({ name, of, from, to })),
  };
}

/** An input, and what must exist before its reader may read it. */
interface Waiting {
  readonly input: Value;
  readonly tokens: readonly Value[];
}

function isRows(node: Node): node is Node<"Slice"> {
  if (node.op !== "Slice") return false;
  const { axis } = (node as Node<"Slice">).attributes;
  return axis === 0 || axis === -node.outputs[0]!.shape.length;
}
