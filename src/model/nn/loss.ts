/** Cross-entropy at the supervised rows, in chunks, forward and backward together. */
import { type Dim, type GraphBuilder, type Value } from "../../compute/graph/index.ts";

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
  /** h → how the logits of a frozen table's rows are computed; h Eᵀ when absent. */
  readonly logits?: (h: Value) => BlockLogits;
  /** About how many rows of a frozen table are read at once. */
  readonly block?: number | undefined;
}

/** The logits [R, to − from] of the table's rows [from, to), which nothing of is read before `token` exists. */
export type BlockLogits = (from: number, to: number, token: Value) => Value;

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
  const chunk = chunks === 1 ? rows : chunkRows(rows, chunks);
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

function chunkRows(rows: Dim, chunks: number): Dim {
  if (typeof rows === "number") return rows / chunks;
  const match = /^(\d+)\*(\w+)$/.exec(rows);
  if (match === null || Number(match[1]) !== chunks) throw new Error(`${rows} rows are not ${chunks} chunks`);
  return match[2]!;
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

/**
 * The table in blocks: with Zᵢ = Σ exp z over block i and Pᵢ normalised within it, Z = Σ Zᵢ and P E = Σ (Zᵢ/Z) · Pᵢ Eᵢ
 * (as in online softmax, Milakov and Gimelshein, 2018). A block is read once for both products.
 */
function frozenTableLoss(
  g: GraphBuilder,
  h: Value,
  table: Value,
  { labels, weights }: LossTargets,
  { probabilityScale = 1, gradient = true, block = 6144, logits }: CrossEntropyOptions,
): Value {
  let dHidden: Value | undefined;
  const [loss] = g.custom(
    [h],
    () => {
      const targets = g.gather(table, labels);
      const masses: { readonly highest: Value; readonly mass: Value }[] = [];
      const expected: Value[] = [];
      // A block waits for the one before it, so that two are never in memory.
      let before = h;
      const logitsOf = logits?.(h);
      for (const [from, to] of tableBlocks(table.shape[0] as number, block)) {
        const rows = rowsOf(g, table, from, to, before);
        const { likely, highest, mass } = softmaxOf(
          g,
          logitsOf?.(from, to, before) ?? g.matmul(h, rows, { transB: true }),
        );
        masses.push({ highest, mass });
        before = mass;
        if (!gradient) continue;
        expected.push(expectedRow(g, g.barrier(likely, mass), rows, probabilityScale));
        before = expected.at(-1)!;
      }
      const { logSum, shares } = joinMasses(g, masses);
      const nll = g.sub(logSum, g.sum(g.mul(h, targets), [-1]));
      if (gradient) {
        const column = (x: Value): Value => g.reshape(x, [x.shape[0]!, 1]);
        const mean = expected
          .map((part, i) => (shares === undefined ? part : g.mul(part, column(shares[i]!))))
          .reduce((sum, part) => g.add(sum, part));
        dHidden = g.mul(g.sub(mean, targets), column(weights));
      }
      return [g.sum(g.mul(nll, weights), [0])];
    },
    ([ct]) => {
      if (dHidden === undefined) throw new Error("a cross-entropy built without a gradient has none");
      return [g.mul(dHidden, ct!)];
    },
  );
  return loss!;
}

/** The rows [from, to) of a table, not before `token` exists. */
export function rowsOf(g: GraphBuilder, table: Value, from: number, to: number, token: Value): Value {
  const waiting = g.barrier(table, token);
  return to - from === table.shape[0] ? waiting : g.slice(waiting, 0, from, to);
}

/** Row ranges of about `block` of a table's rows. */
function tableBlocks(rows: number, block: number): (readonly [number, number])[] {
  const count = Math.max(1, Math.round(rows / block));
  let size = Math.ceil(rows / count);
  // Rows of a multiple of 4,096 bytes fall on the same lines of the processor's cache: a tenth slower.
  if (count > 1 && size % 256 === 0) size += 32;
  const blocks: (readonly [number, number])[] = [];
  for (let from = 0; from < rows; from += size) blocks.push([from, Math.min(rows, from + size)]);
  return blocks;
}

/** Logits [R, V] → their softmax, their maxima m [R] and Σ exp(z − m) [R]. */
function softmaxOf(
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
function expectedRow(g: GraphBuilder, probabilities: Value, table: Value, probabilityScale: number): Value {
  const scaled = probabilityScale === 1 ? probabilities : g.mul(probabilities, probabilityScale);
  return g.matmul(scaled, table, { alpha: 1 / probabilityScale });
}

/** log Σ exp over all blocks [R], and each block's share of the sum [R]; no shares of a single block. */
function joinMasses(
  g: GraphBuilder,
  blocks: readonly { readonly highest: Value; readonly mass: Value }[],
): { readonly logSum: Value; readonly shares?: readonly Value[] } {
  const highest = blocks.map((block) => block.highest).reduce((most, next) => g.max(most, next));
  if (blocks.length === 1) return { logSum: g.add(highest, g.log(blocks[0]!.mass)) };
  // Differences of maxima are exact where it matters; those of logarithms were ten times less so.
  const masses = blocks.map((block) => g.mul(block.mass, g.exp(g.sub(block.highest, highest))));
  const sum = masses.reduce((a, b) => g.add(a, b));
  return { logSum: g.add(highest, g.log(sum)), shares: masses.map((mass) => g.div(mass, sum)) };
}
