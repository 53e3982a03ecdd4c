/** Cross-entropy at the supervised rows, in chunks, forward and backward together. */
import { type Dim, type GraphBuilder, type Value } from "../../compute/graph/index.ts";

export interface LossTargets {
  /** [R] int64 */
  readonly labels: Value;
  /** [R] float32: the weight of each row's loss; 0 turns a row off. */
  readonly weights: Value;
}

/**
 * Σ weight · (log Σ exp(h Eᵀ) − h·E[label]), a scalar.
 * hidden [R, D], table E [V, D]; R must be `chunks` times a chunk's length. A chunk's [R/chunks, V]
 * probabilities are consumed where they are made: dh = weight · (P E − E[label]) is computed in the
 * forward pass, so no [R, V] matrix is ever whole in memory and none outlives its chunk.
 * With `tableTrainable` the gradient of E is formed too. `probabilityScale` multiplies P on its way through P E, which
 * float16 would else round to zero where P < 3e-8: most of a large vocabulary.
 */
export function crossEntropy(
  g: GraphBuilder,
  hidden: Value,
  table: Value,
  { labels, weights }: LossTargets,
  chunks: number,
  tableTrainable = false,
  probabilityScale = 1,
): Value {
  const [rows, width] = hidden.shape as [Dim, number];
  const chunk = chunks === 1 ? rows : chunkRows(rows, chunks);
  const split = (x: Value, inner: readonly Dim[]): Value =>
    chunks === 1 ? x : g.reshape(x, [chunks, chunk, ...inner]);
  const part = (x: Value, i: number, inner: readonly Dim[]): Value =>
    chunks === 1 ? x : g.reshape(g.slice(x, 0, i, i + 1), [chunk, ...inner]);
  const hiddenChunks = split(hidden, [width]);
  const labelChunks = split(labels, []);
  const weightChunks = split(weights, []);
  const losses: Value[] = [];
  for (let i = 0; i < chunks; i++) {
    const h = part(hiddenChunks, i, [width]);
    const targets = { labels: part(labelChunks, i, []), weights: part(weightChunks, i, []) };
    losses.push(chunkLoss(g, h, table, targets, tableTrainable, probabilityScale));
  }
  return losses.reduce((sum, loss) => g.add(sum, loss));
}

function chunkRows(rows: Dim, chunks: number): Dim {
  if (typeof rows === "number") return rows / chunks;
  const match = /^(\d+)\*(\w+)$/.exec(rows);
  if (match === null || Number(match[1]) !== chunks) throw new Error(`${rows} rows are not ${chunks} chunks`);
  return match[2]!;
}

function chunkLoss(
  g: GraphBuilder,
  h: Value,
  table: Value,
  { labels, weights }: LossTargets,
  tableTrainable: boolean,
  probabilityScale: number,
): Value {
  const column = g.reshape(weights, [weights.shape[0]!, 1]);
  let probabilities: Value;
  let dHidden: Value;
  const [loss] = g.custom(
    tableTrainable ? [h, table] : [h],
    () => {
      const logits = g.matmul(h, table, { transB: true });
      const targets = g.gather(table, labels);
      // log Σ exp z = max z − log max p: stable, and both maxima are cheaper than an exponential pass.
      const highest = g.reduceMax(logits, [-1]);
      // Nobody reads the logits after their maximum: the probabilities stand in their place.
      const likely = g.softmax(g.barrier(logits, highest));
      const logSum = g.sub(highest, g.log(g.reduceMax(likely, [-1])));
      const nll = g.sub(logSum, g.sum(g.mul(h, targets), [-1]));
      // Behind the loss, for else the loss were computed last of all and kept every chunk's probabilities until then.
      probabilities = g.barrier(likely, nll);
      const scaled = probabilityScale === 1 ? probabilities : g.mul(probabilities, probabilityScale);
      const expected = g.matmul(scaled, table, { alpha: 1 / probabilityScale });
      dHidden = g.mul(g.sub(expected, targets), column);
      return [g.sum(g.mul(nll, weights), [0])];
    },
    ([ct]) => {
      const dh = g.mul(dHidden, ct!);
      if (!tableTrainable) return [dh];
      const scaled = g.mul(h, g.mul(column, ct!));
      const dTable = g.op(
        "ScatterND",
        [
          g.matmul(probabilities, scaled, { transA: true }),
          g.reshape(labels, [labels.shape[0]!, 1]),
          g.neg(scaled),
        ],
        { reduction: "add" },
      );
      return [dh, dTable];
    },
  );
  return loss!;
}
