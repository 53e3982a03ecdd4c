/** Cross-entropy over a frozen vocabulary table, which is read in blocks of its rows. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import { floatTable, softmaxOf } from "./logits.ts";
import type { CrossEntropyOptions, LossTargets } from "./loss.ts";

/**
 * The table in blocks: with Zᵢ = Σ exp z over block i and Pᵢ normalised within it, Z = Σ Zᵢ and P E = Σ (Zᵢ/Z) · Pᵢ Eᵢ
 * (as in online softmax, Milakov and Gimelshein, 2018). A block is read once for both products.
 */
export function frozenTableLoss(
  g: GraphBuilder,
  h: Value,
  table: Value,
  { labels, weights }: LossTargets,
  {
    probabilityScale,
    gradient = true,
    block,
    reads = floatTable(g, table, probabilityScale),
  }: CrossEntropyOptions,
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
      const reader = reads(h);
      for (const [from, to] of tableBlocks(table.shape as readonly [number, number], block)) {
        const rows = reader.block(from, to, before);
        const { likely, highest, mass } = softmaxOf(g, rows.logits);
        masses.push({ highest, mass });
        before = mass;
        if (!gradient) continue;
        expected.push(rows.expected(g.barrier(likely, mass)));
        before = expected.at(-1)!;
      }
      const { logSum, shares } = joinMasses(g, masses);
      const nll = g.sub(logSum, g.sum(g.mul(h, targets), [-1]));
      if (gradient) {
        const column = (x: Value): Value => g.reshape(x, [x.shape[0]!, 1]);
        const mean = expected
          .map((part, i) => (shares === undefined ? part : g.mul(part, column(shares[i]!))))
          .reduce((sum, part) => g.add(sum, part));
        dHidden = g.mul(g.sub(mean, reader.rowsAt(labels)), column(weights));
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

/** Row ranges of about `block` rows of a table [V, D]; a block of a wide one is to stay small beside the model. */
function tableBlocks(
  [rows, width]: readonly [number, number],
  block = Math.min(6144, Math.max(2048, Math.floor(2 ** 23 / width))),
): (readonly [number, number])[] {
  const count = Math.max(1, Math.round(rows / block));
  let size = Math.ceil(rows / count);
  // Rows of a multiple of 4,096 bytes fall on the same lines of the processor's cache: a tenth slower.
  if (count > 1 && size % 256 === 0) size += 32;
  const blocks: (readonly [number, number])[] = [];
  for (let from = 0; from < rows; from += size) blocks.push([from, Math.min(rows, from + size)]);
  return blocks;
}

/** log Σ exp over all blocks [R], and each block's share of the sum [R]; no shares of a single block. */
function joinMasses(
  g: GraphBuilder,
  blocks: readonly { readonly highest: Value; readonly mass: Value }[],
): { readonly logSum: Value; readonly shares?: readonly Value[] } {
  const highest = blocks.map((block) => block.highest).reduce((most, next) => g.max(most, next));
  if (blocks.length === 1) return { logSum: g.add(highest, g.log(blocks[0]!.mass)) };
  const masses = blocks.map((block) => g.mul(block.mass, g.exp(g.sub(block.highest, highest))));
  const sum = masses.reduce((a, b) => g.add(a, b));
  return { logSum: g.add(highest, g.log(sum)), shares: masses.map((mass) => g.div(mass, sum)) };
}
