/** What a graph's symbols stand for in a run, and how much work the run is. */
import { dtypes } from "../tensor/index.ts";
import { type Dim, type Shape, evaluateDim, termsOf } from "./dims.ts";
import type { Graph, Node, Op, Value } from "./graph.ts";

export type SymbolSizes = ReadonlyMap<string, number>;

/** The size of each symbol, from shapes that inputs have in a run; alone or as a multiple such as `4*C`. */
export function symbolSizes(
  graph: Graph,
  shapes: Readonly<Record<string, { readonly shape: readonly number[] } | undefined>>,
): SymbolSizes {
  const sizes = new Map<string, number>();
  for (const { name, shape } of graph.inputs) {
    const given = shapes[name]?.shape;
    if (given === undefined) continue;
    shape.forEach((dim, axis) => {
      const [term, ...others] = termsOf(dim);
      const [symbol, ...more] = term?.symbols ?? [];
      if (symbol === undefined || others.length + more.length > 0) return;
      sizes.set(symbol, given[axis]! / term!.coefficient);
    });
  }
  return sizes;
}

/** Bytes of values for these sizes; what a dimension comes to is remembered. */
export function byteCounter(sizes: SymbolSizes): (value: Value) => number {
  const known = new Map<Dim, number>();
  const sizeOf = (dim: Dim): number => {
    let size = known.get(dim);
    if (size === undefined) known.set(dim, (size = evaluateDim(dim, sizes)));
    return size;
  };
  return ({ shape, dtype }) =>
    shape.reduce<number>((product, dim) => product * sizeOf(dim), dtypes[dtype].bytes);
}

export interface GraphWork {
  /** Operations (2 a multiply-add) of products with a weight or an adapter: [T, I] × [I, O]. */
  readonly linearOperations: number;
  /** Of products between activations with heads (rank above 2): attention, its padding included. */
  readonly attentionOperations: number;
  readonly products: number;
  /** Read and written by everything that is no product. */
  readonly passedBytes: number;
}

/** Products by op: where the summed axis of the first operand is. */
const productOps: Partial<Record<Op, (node: Node) => -1 | -2>> = {
  MatMul: () => -1,
  FusedMatMul: ({ attributes }) => ("transA" in attributes && attributes.transA === 1 ? -2 : -1),
  MatMulInteger: () => -1,
  QGemm: ({ attributes }) => ("transA" in attributes && attributes.transA === 1 ? -2 : -1),
  MatMulNBits: () => -1,
  DynamicQuantizeMatMul: () => -1,
};

/** Results that are other views of what they read. */
const views: ReadonlySet<Op> = new Set(["Reshape", "Barrier"] as const);

export function graphWork(graph: Graph, sizes: SymbolSizes): GraphWork {
  const bytesOf = byteCounter(sizes);
  const lengths = (shape: Shape): readonly number[] => shape.map((dim) => evaluateDim(dim, sizes));
  let [linearOperations, attentionOperations, products, passedBytes] = [0, 0, 0, 0];
  for (const node of graph.nodes) {
    const summed = productOps[node.op]?.(node);
    if (summed !== undefined) {
      const a = lengths(node.inputs[0]!.shape);
      const elements = lengths(node.outputs[0]!.shape).reduce((product, dim) => product * dim, 1);
      const operations = 2 * a.at(summed)! * elements;
      if (a.length > 2) attentionOperations += operations;
      else linearOperations += operations;
      products += 1;
    } else if (!views.has(node.op)) {
      for (const value of node.outputs) passedBytes += bytesOf(value);
      // A gather reads what it hands on, however large the table.
      const written = bytesOf(node.outputs[0]!);
      for (const value of node.inputs)
        if (value !== undefined)
          passedBytes += node.op === "Gather" ? Math.min(written, bytesOf(value)) : bytesOf(value);
    }
  }
  return { linearOperations, attentionOperations, products, passedBytes };
}
