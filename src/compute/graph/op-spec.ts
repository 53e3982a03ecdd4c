/** What the op table says of one op: its domain, how many operands, its shape rule. */
import type { Inputs, ValueType } from "./infer.ts";
import type { Op, OpAttributes } from "./graph.ts";

export interface OpSpec<K extends Op> {
  /** ONNX operator domain; absent is ONNX's own, `attune` exists only in our graphs and is lowered when encoded. */
  readonly domain?: "com.microsoft" | "attune";
  /** Fewest and most operands. */
  readonly arity: readonly [number, number];
  /** Types of the outputs; throws `GraphError` for operands that do not fit. */
  infer(inputs: Inputs, attributes: OpAttributes[K]): readonly ValueType[];
}

/** One row an op: a missing row does not compile. */
export type OpTable = { readonly [K in Op]: OpSpec<K> };
