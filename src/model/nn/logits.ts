/** Rows of a vocabulary table against hidden states: logits, their softmax, and the row that it expects. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";

/** Some rows of a table E against hidden states h [R, D]. */
export interface TableBlock {
  /** h E[from:to]ᵀ [R, to − from] */
  readonly logits: Value;
  /** P E[from:to] [R, D], P [R, to − from] */
  readonly expected: (probabilities: Value) => Value;
}

/** A table E [V, D] as its products read it. */
export interface TableReader {
  /** The rows [from, to), which nothing of is read before `token` exists. */
  readonly block: (from: number, to: number, token: Value) => TableBlock;
  /** E[labels] [R, D], of the very numbers that `expected` adds up. */
  readonly rowsAt: (labels: Value) => Value;
}

/** Hidden states [R, D] → the table for them. */
export type ReadTable = (h: Value) => TableReader;

/** A table in floats. `probabilityScale` as `CrossEntropyOptions` has it. */
export function floatTable(g: GraphBuilder, table: Value, probabilityScale = 1): ReadTable {
  return (h) => ({
    block: (from, to, token) => {
      const rows = rowsOf(g, table, from, to, token);
      return {
        logits: g.matmul(h, rows, { transB: true }),
        expected: (probabilities) => expectedRow(g, probabilities, rows, probabilityScale),
      };
    },
    rowsAt: (labels) => g.gather(table, labels),
  });
}

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
