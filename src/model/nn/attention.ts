/**
 * Causal attention with grouped key-value heads on a padded view, in query chunks, with its own gradient. S must be
 * `chunks` times a chunk's length C; keys after a chunk's end are skipped.
 */
import { type Dim, type GraphBuilder, type Value, multiplyDims } from "../../compute/graph/index.ts";
import type { Dropout } from "./dropout.ts";

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
  const [batch, heads, length, width] = q.shape as [Dim, number, Dim, number];
  const kvHeads = k.shape[1] as number;
  const group = heads / kvHeads;
  const chunk = chunks === 1 ? length : chunkLength(length, chunks);
  const tiles = (x: Value, count: number): Value =>
    chunks === 1 ? x : g.reshape(x, [batch, count, chunks, chunk, width]);
  const [qs, ks, vs] = [tiles(q, heads), tiles(k, kvHeads), tiles(v, kvHeads)];
  const masks = g.reshape(mask, [chunks, chunk, length]);
  const outputs: Value[] = [];
  for (let i = 0; i < chunks; i++) {
    const keys = multiplyDims(i + 1, chunk);
    // One more axis than queries: the heads of a group share their keys by broadcasting.
    const upTo = (x: Value): Value =>
      g.reshape(only(g, x, 2, 0, i + 1, chunks), [batch, kvHeads, 1, keys, width]);
    const queries = g.reshape(only(g, qs, 2, i, i + 1, chunks), [batch, kvHeads, group, chunk, width]);
    const visible =
      i === chunks - 1
        ? g.reshape(only(g, masks, 0, i, i + 1, chunks), [1, 1, chunk, length])
        : chunkMask(g, mask, i, chunks, chunk);
    const drop = dropout === undefined ? undefined : { ...dropout, name: `${dropout.name}.${i}` };
    outputs.push(attend(g, queries, upTo(ks), upTo(vs), visible, drop));
  }
  const joined =
    chunks === 1
      ? outputs[0]!
      : g.concat(
          outputs.map((x) => g.reshape(x, [batch, heads, 1, chunk, width])),
          2,
        );
  return g.reshape(joined, [batch, heads, length, width]);
}

function chunkLength(length: Dim, chunks: number): Dim {
  if (typeof length === "number") return length / chunks;
  const match = /^(\d+)\*(\w+)$/.exec(length);
  if (match === null || Number(match[1]) !== chunks)
    throw new Error(`a length of ${length} is not ${chunks} chunks`);
  return match[2]!;
}

/** [from, to) of an axis of size `size`; x itself where that is all of it. */
function only(g: GraphBuilder, x: Value, axis: number, from: number, to: number, size: number): Value {
  return from === 0 && to === size ? x : g.slice(x, axis, from, to);
}

/** The mask of chunk i against keys up to its end: [1, 1, C, (i+1)·C]. */
function chunkMask(g: GraphBuilder, mask: Value, i: number, chunks: number, chunk: Dim): Value {
  const tiles = g.reshape(mask, [chunks, chunk, chunks, chunk]);
  const tile = g.slice(g.slice(tiles, 0, i, i + 1), 2, 0, i + 1);
  return g.reshape(tile, [1, 1, chunk, multiplyDims(i + 1, chunk)]);
}

/**
 * queries [B, K, G, C, E], keys and values [B, K, 1, N, E], mask [1, 1, C, N] → [B, K, G, C, E].
 * Gradient: ds = p ⊙ (dp − Σ dO ⊙ O), whose row sum is over E rather than N, with dropout too (Dao et al., 2022). In one
 * chunk, where N is small, the same number is Σ p ⊙ dp, so that O need not be kept: it is a third of what p is.
 */
function attend(
  g: GraphBuilder,
  queries: Value,
  keys: Value,
  values: Value,
  mask: Value,
  dropout?: { readonly of: Dropout; readonly name: string },
): Value {
  const [batch, kvHeads, group, chunk, width] = queries.shape as [Dim, number, number, Dim, number];
  const length = mask.shape[3]!;
  const scale = 1 / Math.sqrt(width);
  // The sum over a group's heads is part of a product whose inner axis is G·C.
  const together = (x: Value): Value =>
    g.reshape(x, [batch, kvHeads, multiplyDims(group, chunk), x.shape[4]!]);
  const summed = (a: Value, b: Value, alpha?: number): Value =>
    g.reshape(
      g.matmul(together(a), together(b), { transA: true, ...(alpha === undefined ? {} : { alpha }) }),
      [batch, kvHeads, 1, length, width],
    );
  // The factor rides on the products.
  const kept = (x: Value): Value => (dropout === undefined ? x : dropout.of.keep(g, dropout.name, x));
  const factor = dropout === undefined ? {} : { alpha: dropout.of.scale };
  let probabilities: Value;
  let dropped: Value;
  let output: Value;
  const [result] = g.custom(
    [queries, keys, values],
    () => {
      const scores = g.matmul(queries, keys, { transB: true, alpha: scale });
      probabilities = g.softmax(g.add(scores, mask));
      dropped = kept(probabilities);
      output = g.matmul(dropped, values, factor);
      return [output];
    },
    ([dOutput]) => {
      const dValues = summed(dropped, dOutput!, factor.alpha);
      const dProbabilities = kept(g.matmul(dOutput!, values, { transB: true, ...factor }));
      const dScores =
        chunk === length
          ? softmaxGradient(g, probabilities, dProbabilities)
          : g.mul(probabilities, g.sub(dProbabilities, g.sum(g.mul(dOutput!, output), [-1], true)));
      return [g.matmul(dScores, keys, { alpha: scale }), summed(dScores, queries, scale), dValues];
    },
  );
  return result!;
}

/** ds = p ⊙ dp − p Σ p ⊙ dp along the last axis. */
function softmaxGradient(g: GraphBuilder, probabilities: Value, dProbabilities: Value): Value {
  const weighted = g.mul(probabilities, dProbabilities);
  return g.sub(weighted, g.mul(probabilities, g.sum(weighted, [-1], true)));
}
