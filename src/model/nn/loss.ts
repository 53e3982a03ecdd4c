/** Cross-entropy at the supervised rows, in chunks, forward and backward together. */
import { type Dim, type GraphBuilder, type Value } from "../../compute/graph/index.ts";
import { chunkLength } from "./chunk.ts";
import { frozenTableLoss } from "./frozen-table-loss.ts";
import { type ReadTable, expectedRow, softmaxOf } from "./logits.ts";

export interface LossTargets {
  /** [R] int64 */
  readonly labels: Value;
  /** [R] float32: the weight of each row's loss; 0 turns a row off. */
  readonly weights: Value;
}

export interface CrossEntropyOptions {
  /** R must be this many times a chunk's length. */
  readonly chunks: number;
  /** Whether the gradient of E is formed too. */
  readonly tableTrainable?: boolean;
  /** Multiplies P on its way through P E, which float16 would else round to zero where P < 3e-8: most of a large vocabulary. */
  readonly probabilityScale?: number;
  /** Without it no gradient can be asked for, and P E is not formed. */
  readonly gradient?: boolean;
  /** How the products with a frozen table are computed; in floats when absent. */
  readonly reads?: ReadTable;
  /** About how many rows of a frozen table are read at once. */
  readonly block?: number | undefined;
}

/**
 * Σ weight · (log Σ exp(h Eᵀ) − h·E[label]), a scalar; hidden [R, D], table E [V, D].
 * Probabilities are consumed where they are made: dh = weight · (P E − E[label]) is computed in the forward pass, so no
 * [R, V] matrix is ever whole in memory. A frozen table is read in blocks of its rows; a trained one, whose gradient
 * needs all of a row's P, in chunks of R only, and a chunk's [R/chunks, V] probabilities live until then.
 */
export function crossEntropy(
  g: GraphBuilder,
  hidden: Value,
  table: Value,
  { labels, weights }: LossTargets,
  options: CrossEntropyOptions,
): Value {
  const { chunks } = options;
  const [rows, width] = hidden.shape as [Dim, number];
  const chunk = chunkLength(rows, chunks);
  const split = (x: Value, inner: readonly Dim[]): Value =>
    chunks === 1 ? x : g.reshape(x, [chunks, chunk, ...inner]);
  const part = (x: Value, i: number, inner: readonly Dim[]): Value =>
    chunks === 1 ? x : g.reshape(g.slice(x, 0, i, i + 1), [chunk, ...inner]);
  const hiddenChunks = split(hidden, [width]);
  const labelChunks = split(labels, []);
  const weightChunks = split(weights, []);
  const chunkLoss = options.tableTrainable === true ? trainedTableLoss : frozenTableLoss;
  const losses: Value[] = [];
  for (let i = 0; i < chunks; i++) {
    const h = part(hiddenChunks, i, [width]);
    const targets = { labels: part(labelChunks, i, []), weights: part(weightChunks, i, []) };
    losses.push(chunkLoss(g, h, table, targets, options));
  }
  return losses.reduce((sum, loss) => g.add(sum, loss));
}

function trainedTableLoss(
  g: GraphBuilder,
  h: Value,
  table: Value,
  { labels, weights }: LossTargets,
  { probabilityScale = 1 }: CrossEntropyOptions,
): Value {
  const column = g.reshape(weights, [weights.shape[0]!, 1]);
  let probabilities: Value;
  let dHidden: Value;
  const [loss] = g.custom(
    [h, table],
    () => {
      const targets = g.gather(table, labels);
      const { likely, highest, mass } = softmaxOf(g, g.matmul(h, table, { transB: true }));
      const nll = g.sub(g.add(highest, g.log(mass)), g.sum(g.mul(h, targets), [-1]));
      // Behind the loss, for else the loss were computed last of all and kept every chunk's probabilities until then.
      probabilities = g.barrier(likely, nll);
      dHidden = g.mul(g.sub(expectedRow(g, probabilities, table, probabilityScale), targets), column);
      return [g.sum(g.mul(nll, weights), [0])];
    },
    ([ct]) => {
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
      return [g.mul(dHidden, ct!), dTable];
    },
  );
  return loss!;
}
