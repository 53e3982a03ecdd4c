/** What a graph's symbols stand for in a run, and how many bytes its values take. */
import { dtypes } from "../tensor/index.ts";
import { type Dim, evaluateDim, termsOf } from "./dims.ts";
import type { Graph, Value } from "./graph.ts";

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
