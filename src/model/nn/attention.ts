/**
 * Causal attention with grouped key-value heads on a padded view, in query chunks, with its own gradient. S must be
 * `chunks` times a chunk's length C; keys after a chunk's end are skipped.
 */
import { type Dim, type GraphBuilder, type Value, multiplyDims } from "../../compute/graph/index.ts";
import type { Dropout } from "./dropout.ts";
import { queryChunks } from "./query-chunks.ts";

/**
 * dropout(softmax(q kᵀ / √E + mask)) v.
 * q [B, H, S, E], k and v [B, K, S, E], mask [1, 1, S, S] (0 or a large negative number) → [B, H, S, E]. The keep mask
 * of chunk i, named `${name}.${i}`, is [B, K, H/K, C, (i+1)·C]. A token that stands in several rows is read back from
 * its first: the mask there is its mask.
 */
export function attention(
  g: GraphBuilder,
  [q, k, v]: readonly [Value, Value, Value],
  mask: Value,
  chunks: number,
  dropout?: { readonly of: Dropout; readonly name: string },
): Value {
  const cut = queryChunks(g, q.shape, k.shape, chunks);
  const parts = Array.from({ length: chunks }, (_, i) =>
    attend(g, cut.mask(mask, i), dropout && { ...dropout, name: `${dropout.name}.${i}` }),
  );
  const [result] = g.custom(
    [q, k, v],
    () => {
      const queries = cut.split(q);
      return [
        cut.join(parts.map(({ forward }, i) => forward([queries[i]!, cut.seen(k, i), cut.seen(v, i)]))),
      ];
    },
    ([dOutput]) => {
      // Cut again: kept, the pieces would be copies of the whole, and those of the keys overlap.
      const [qs, ks, vs] = [q, k, v].map((x) => g.barrier(x, dOutput!)) as [Value, Value, Value];
      const queries = cut.split(qs);
      const gradients = cut
        .split(dOutput!)
        .map((d, i) => parts[i]!.backward([queries[i]!, cut.seen(ks, i), cut.seen(vs, i)], d));
      return [
        cut.join(gradients.map(([dq]) => dq)),
        cut.sumSeen(gradients.map(([, dk]) => dk)),
        cut.sumSeen(gradients.map(([, , dv]) => dv)),
      ];
    },
  );
  return result!;
}

type QueriesKeysValues = readonly [Value, Value, Value];

/**
 * Queries [B, K, G, C, E], keys and values [B, K, 1, N, E], mask [1, 1, C, N] → [B, K, G, C, E], and the way back.
 * Gradient: ds = p ⊙ (dp − Σ dO ⊙ O), whose row sum is over E rather than N, with dropout too (Dao et al., 2022). In one
 * chunk, where N is small, the same number is Σ p ⊙ dp, so that O need not be kept: it is a third of what p is.
 */
function attend(
  g: GraphBuilder,
  mask: Value,
  dropout?: { readonly of: Dropout; readonly name: string },
): {
  readonly forward: (of: QueriesKeysValues) => Value;
  readonly backward: (of: QueriesKeysValues, dOutput: Value) => QueriesKeysValues;
} {
  const [chunk, length] = mask.shape.slice(2) as [Dim, Dim];
  // The factor rides on the products.
  const kept = (x: Value): Value => (dropout === undefined ? x : dropout.of.keep(g, dropout.name, x));
  const factor = dropout === undefined ? {} : { alpha: dropout.of.scale };
  let probabilities: Value;
  let dropped: Value;
  let output: Value;
  return {
    forward: ([queries, keys, values]) => {
      const scores = g.matmul(queries, keys, { transB: true, alpha: scaleOf(queries) });
      probabilities = g.softmax(g.add(scores, mask));
      dropped = kept(probabilities);
      output = g.matmul(dropped, values, factor);
      return output;
    },
    backward: ([queries, keys, values], dOutput) => {
      const scale = scaleOf(queries);
      const dValues = summedOverGroup(g, dropped, dOutput, factor);
      const dProbabilities = kept(g.matmul(dOutput, values, { transB: true, ...factor }));
      const dScores =
        chunk === length
          ? softmaxGradient(g, probabilities, dProbabilities)
          : g.mul(probabilities, g.sub(dProbabilities, g.sum(g.mul(dOutput, output), [-1], true)));
      const dKeys = summedOverGroup(g, dScores, queries, { alpha: scale });
      return [g.matmul(dScores, keys, { alpha: scale }), dKeys, dValues];
    },
  };
}

function scaleOf(queries: Value): number {
  return 1 / Math.sqrt(queries.shape.at(-1) as number);
}

/** Σ over the heads of a group of aᵀ b · alpha, a [B, K, G, C, N], b [B, K, G, C, E] → [B, K, 1, N, E]: one product over G·C. */
function summedOverGroup(
  g: GraphBuilder,
  a: Value,
  b: Value,
  { alpha = 1 }: { readonly alpha?: number },
): Value {
  const together = (x: Value): Value => {
    const [batch, kvHeads, group, chunk, width] = x.shape as [Dim, number, number, Dim, Dim];
    return g.reshape(x, [batch, kvHeads, multiplyDims(group, chunk), width]);
  };
  const product = g.matmul(together(a), together(b), { transA: true, alpha });
  const [batch, kvHeads, rows, width] = product.shape as [Dim, number, Dim, Dim];
  return g.reshape(product, [batch, kvHeads, 1, rows, width]);
}

/** ds = p ⊙ dp − p Σ p ⊙ dp along the last axis. */
function softmaxGradient(g: GraphBuilder, probabilities: Value, dProbabilities: Value): Value {
  const weighted = g.mul(probabilities, dProbabilities);
  return g.sub(weighted, g.mul(probabilities, g.sum(weighted, [-1], true)));
}
