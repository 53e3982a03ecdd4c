/** Gradients of graphs, as graphs. */
export { gradTable, gradients, vjp } from "./gradients.ts";
export { recompute } from "./recompute.ts";
export type { Cotangents, GradRule, GradTable } from "./rule.ts";
