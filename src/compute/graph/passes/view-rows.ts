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
 * `graph` with an input of its own for each slice of the first axis of an input whose shape is in numbers. Barriers between the two
 * go: they put off a copy that is no longer made.
 */
export function viewRows(graph: Graph): { readonly graph: Graph; readonly views: readonly RowView[] } {
  const outputs = new Set(graph.outputs.values());
  const inputOf = new Map<Value, Value>(
    graph.inputs.filter(({ shape }) => shape.every(Number.isInteger)).map((input) => [input, input]),
  );
  const views = new Map<string, RowView & { readonly value: Value }>();
  const replaced = new Map<Value, Value>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const [source] = node.inputs;
    const input = source === undefined ? undefined : inputOf.get(source);
    const [result] = node.outputs as readonly [Value];
    if (input !== undefined && node.op === "Barrier") inputOf.set(result, input);
    if (input !== undefined && isRows(node) && !outputs.has(result)) {
      const rows = input.shape[0] as number;
      const place = (at: number): number => Math.min(rows, Math.max(0, at < 0 ? at + rows : at));
      const { start, end = rows } = node.attributes;
      const [from, to] = [place(start), place(end)];
      const name = `${input.name}[${from}:${to}]`;
      const value = views.get(name)?.value ?? { name, dtype: input.dtype, shape: result.shape };
      views.set(name, { name, of: input.name, from, to, value });
      replaced.set(result, value);
    } else {
      nodes.push({ ...node, inputs: node.inputs.map((value) => (value && replaced.get(value)) ?? value) });
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

function isRows(node: Node): node is Node<"Slice"> {
  if (node.op !== "Slice") return false;
  const { axis } = (node as Node<"Slice">).attributes;
  return axis === 0 || axis === -node.outputs[0]!.shape.length;
}
