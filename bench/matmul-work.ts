/** The floating-point operations of a graph's matrix products, counted from the graph itself. */
import { type Graph, type Shape, evaluateDim, symbolSizes } from "../src/compute/graph/index.ts";
import type { Tensor } from "../src/compute/tensor/index.ts";

export interface MatmulWork {
  /** Operations (2 a multiply-add) of products that read a weight or an adapter: [T, I] × [I, O]. */
  readonly linear: number;
  /** Of products between activations with heads (rank above 2): attention, its padding included. */
  readonly attention: number;
  readonly products: number;
}

/** Counts for the sizes that `feeds` give the graph's symbols. */
export function matmulWork(graph: Graph, feeds: Readonly<Record<string, Tensor>>): MatmulWork {
  const sizes = symbolSizes(graph, feeds);
  const size = (shape: Shape): readonly number[] => shape.map((dim) => evaluateDim(dim, sizes));
  let [linear, attention, products] = [0, 0, 0];
  for (const { op, inputs, outputs, attributes } of graph.nodes) {
    if (op !== "MatMul" && op !== "FusedMatMul") continue;
    const a = size(inputs[0]!.shape);
    const transposed = op === "FusedMatMul" && "transA" in attributes && attributes.transA === 1;
    const inner = a.at(transposed ? -2 : -1)!;
    const operations = 2 * inner * size(outputs[0]!.shape).reduce((product, dim) => product * dim, 1);
    if (a.length > 2) attention += operations;
    else linear += operations;
    products += 1;
  }
  return { linear, attention, products };
}
