/** Computes at once what depends on constants alone. */
import { type Tensor, elementCount } from "../../tensor/index.ts";
import type { Graph, Node } from "../graph.ts";
import { type Pass, rewrite } from "./rewrite.ts";

/** Results of one node for constant operands, or `undefined` where it cannot tell. */
export type Evaluate = (node: Node, inputs: readonly (Tensor | undefined)[]) => readonly Tensor[] | undefined;

/** Nodes with more elements than this, operands and results together, are left to the runtime. */
const FOLDED_ELEMENTS = 1 << 14;

/** The pass; `evaluate` is passed in because graphs know no runtime. */
export function foldConstants(evaluate: Evaluate): Pass {
  return (graph: Graph) =>
    rewrite(graph, (node, tools) => {
      if (node.op === "Barrier" || node.inputs.length === 0) return undefined;
      const inputs = node.inputs.map((input) => tools.constant(input));
      if (inputs.some((content, i) => content === undefined && node.inputs[i] !== undefined))
        return undefined;
      let elements = 0;
      for (const { shape } of [...node.inputs, ...node.outputs].filter((value) => value !== undefined)) {
        if (shape.some((dim) => typeof dim !== "number")) return undefined;
        elements += elementCount(shape as readonly number[]);
      }
      if (elements > FOLDED_ELEMENTS) return undefined;
      return evaluate(node, inputs)?.map((content) => tools.addConstant(content));
    });
}
