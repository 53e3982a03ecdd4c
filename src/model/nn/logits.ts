/** Rows of a vocabulary table against hidden states: logits, their softmax, and the row that it expects. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";

/** The logits [R, to − from] of the table's rows [from, to), which nothing of is read before `token` exists. */
export type BlockLogits = (from: number, to: number, token: Value) => Value;

/** The rows [from, to) of a table, not before `token` exists. */
export function rowsOf(g: GraphBuilder, table: Value, from: number, to: number, token: Value): Value {
  const waiting = g.barrier(table, token);
  return to - from === table.shape[0] ? waiting : g.slice(waiting, 0, from, to);
}

/** Logits [R, V] → their softmax, their maxima m [R] and Σ exp(z − m) [R]. */
export function softmaxOf(
  g: GraphBuilder,
  logits: Value,
): { readonly likely: Value; readonly highest: Value; readonly mass: Value } {
  const highest = g.reduceMax(logits, [-1]);
  // Nobody reads the logits after their maximum: the probabilities stand in their place.
  const likely = g.softmax(g.barrier(logits, highest));
  // The most likely is exp(0) / Σ exp(z − m): another maximum is cheaper than another pass of exponentials.
  return { likely, highest, mass: g.div(1, g.reduceMax(likely, [-1])) };
}

/** P E [R, D] */
export function expectedRow(
  g: GraphBuilder,
  probabilities: Value,
  table: Value,
  probabilityScale: number,
): Value {
  const scaled = probabilityScale === 1 ? probabilities : g.mul(probabilities, probabilityScale);
  return g.matmul(scaled, table, { alpha: 1 / probabilityScale });
}
