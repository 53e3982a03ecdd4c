/** What the interpreter knows of one op. */
import type { Op, OpAttributes, Shape } from "../../graph/index.ts";
import type { Wide } from "./array.ts";

export interface Context {
  /** A shape's sizes in this run. */
  sizes(shape: Shape): number[];
}

export type Kernel<K extends Op> = (
  inputs: readonly Wide[],
  attributes: OpAttributes[K],
  context: Context,
) => readonly Wide[];

/** One row an op: a missing row does not compile. An absent optional input arrives as `undefined`. */
export type ReferenceTable = { readonly [K in Op]: Kernel<K> };
