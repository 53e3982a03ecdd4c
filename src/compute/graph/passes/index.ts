/** Rewrites of a graph that leave its results alone. */
import type { Graph } from "../graph.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadCode } from "./dead-code.ts";
import { type Evaluate, foldConstants } from "./fold-constants.ts";
import { fuse } from "./fuse.ts";
import type { Pass } from "./rewrite.ts";
import { simplify } from "./simplify.ts";

export { autocast } from "./autocast.ts";
export type { AutocastOptions, HalfType } from "./autocast.ts";
export { bindInputs } from "./bind-inputs.ts";
export { mergeCommonSubexpressions } from "./common-subexpressions.ts";
export { removeDeadCode } from "./dead-code.ts";
export { foldConstants } from "./fold-constants.ts";
export type { Evaluate } from "./fold-constants.ts";
export { fuse } from "./fuse.ts";
export { halfActivations } from "./half-activations.ts";
export type { HalfActivationsOptions } from "./half-activations.ts";
export { makePortable } from "./portable.ts";
export { recomputeCheap } from "./recompute-cheap.ts";
export type { Pass } from "./rewrite.ts";
export { shiftInt8 } from "./shift-int8.ts";
export { simplify } from "./simplify.ts";
export { viewRows } from "./view-rows.ts";
export type { RowView } from "./view-rows.ts";

/** What came out of the pipeline, and whether constants were folded. */
const optimized = new WeakMap<Graph, boolean>();

/**
 * The default pipeline: constants folded where `evaluate` is given, algebra, common subexpressions, fusion, dead code.
 * Deterministic; each pass is linear in the nodes. What came out of it is given back as it is.
 */
export function optimize(graph: Graph, evaluate?: Evaluate): Graph {
  const folded = optimized.get(graph);
  if (folded === true || (folded === false && evaluate === undefined)) return graph;
  const passes: readonly Pass[] = [
    ...(evaluate === undefined ? [] : [foldConstants(evaluate)]),
    simplify,
    mergeCommonSubexpressions,
    removeDeadCode,
    fuse,
    removeDeadCode,
  ];
  const result = passes.reduce((rewritten, pass) => pass(rewritten), graph);
  optimized.set(result, evaluate !== undefined);
  return result;
}
