/** What a run of a graph has to do, counted: operations of its matrix products, bytes that its nodes read and write. */
import { evaluateDim } from "./dims.ts";
import type { Graph, Node, Op, OpAttributes, Value } from "./graph.ts";
import { type SymbolSizes, byteCounter } from "./sizes.ts";

/**
 * Products whose speeds differ: with a matrix, [T, I] × [I, O]; with heads, as in attention, their padding included; in
 * 8-bit integers; over blocks of few bits.
 */
export type ProductKind = "matrix" | "heads" | "integer" | "blocks";

export interface Work {
  /** 2 a multiply-add. */
  readonly operations: Readonly<Record<ProductKind, number>>;
  /** Read and written by all nodes, each operand once. */
  readonly bytes: number;
  readonly nodes: number;
}

/** Ops whose result is another view of the first operand. */
const views: ReadonlySet<Op> = new Set(["Reshape", "Barrier"] as const);
/** Ops that read of their first operand no more than they write. */
const pickers: ReadonlySet<Op> = new Set(["Gather", "GatherElements", "Slice"] as const);

const productKinds: Partial<Record<Op, ProductKind>> = {
  MatMulInteger: "integer",
  DynamicQuantizeMatMul: "integer",
  QGemm: "integer",
  MatMulNBits: "blocks",
  GroupQueryAttention: "heads",
};

/** `undefined`: no product. */
export function productKind({ op, inputs }: Node): ProductKind | undefined {
  if (op !== "MatMul" && op !== "FusedMatMul") return productKinds[op];
  return inputs[0]!.shape.length > 2 ? "heads" : "matrix";
}

/** Counts what a run with such sizes does; nodes that are alike in all sizes are counted once. */
export function workCounter(graph: Graph): (sizes: SymbolSizes) => Work {
  const groups = new Map<string, { readonly node: Node; count: number }>();
  for (const node of graph.nodes) {
    const key = signature(node);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { node, count: 1 });
    else group.count += 1;
  }
  return (sizes) => {
    const bytesOf = byteCounter(sizes);
    const operations = { matrix: 0, heads: 0, integer: 0, blocks: 0 };
    let bytes = 0;
    for (const { node, count } of groups.values()) {
      const kind = productKind(node);
      if (kind !== undefined) operations[kind] += count * productOperations(node, sizes);
      bytes += count * nodeBytes(node, bytesOf);
    }
    return { operations, bytes, nodes: graph.nodes.length };
  };
}

/** Op, and types and symbolic shapes of operands and results. */
function signature({ op, inputs, outputs, attributes }: Node): string {
  const shapes = [...inputs, ...outputs].map((value) =>
    value === undefined ? "-" : `${value.dtype}[${value.shape.join()}]`,
  );
  const transposed = "transA" in attributes ? attributes.transA : 0;
  return `${op} ${transposed} ${shapes.join(" ")}`;
}

/** Read and written by a node; a view moves nothing. */
export function nodeBytes({ op, inputs, outputs }: Node, bytesOf: (value: Value) => number): number {
  if (views.has(op)) return 0;
  const written = outputs.reduce((sum, value) => sum + bytesOf(value), 0);
  return inputs.reduce(
    (sum, value, index) =>
      sum + (value === undefined ? 0 : index === 0 && pickers.has(op) ? written : bytesOf(value)),
    written,
  );
}

/** Operations of a product; 0 of anything else. */
export function productOperations(node: Node, sizes: SymbolSizes): number {
  const { op, inputs, outputs } = node;
  const size = (value: Value, axis: number): number => evaluateDim(value.shape.at(axis)!, sizes);
  const inner = (): number => {
    switch (op) {
      case "MatMul":
      case "MatMulInteger":
      case "DynamicQuantizeMatMul":
        return size(inputs[0]!, -1);
      case "FusedMatMul":
      case "QGemm":
        return size(inputs[0]!, (node as Node<"FusedMatMul" | "QGemm">).attributes.transA === 1 ? -2 : -1);
      case "MatMulNBits":
        return (node.attributes as OpAttributes["MatMulNBits"]).K;
      case "GroupQueryAttention":
        // Scores and the sum of values, both over all keys that are present.
        return 2 * size(outputs[1]!, 2);
      default:
        return 0;
    }
  };
  const results = outputs[0]!.shape.reduce<number>((product, dim) => product * evaluateDim(dim, sizes), 1);
  return 2 * inner() * results;
}
