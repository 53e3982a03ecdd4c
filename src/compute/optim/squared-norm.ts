/** ‖x‖² of a long vector in float32, as a part of a graph. */
import type { GraphBuilder, Value } from "../graph/index.ts";

/**
 * x: [N] of `size` elements → scalar. Rows are summed first, then their sums: one sum over 10⁸ squares would lose
 * percents of them to rounding. A size without a divisor near its root is summed as far as it has one.
 */
export function squaredNorm(g: GraphBuilder, x: Value, size: number): Value {
  const squares = g.mul(x, x);
  const rows = largestDivisor(size);
  if (rows === 1) return g.sum(squares, [0]);
  return g.sum(g.sum(g.reshape(squares, [rows, size / rows]), [1]), [0]);
}

/** The largest divisor of `size` up to its root. */
function largestDivisor(size: number): number {
  let divisor = Math.floor(Math.sqrt(size));
  while (divisor > 1 && size % divisor !== 0) divisor -= 1;
  return Math.max(1, divisor);
}
