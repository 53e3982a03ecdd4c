/** Causal attention with grouped key-value heads on a padded view, in query chunks, with its own gradient. */
import { type GraphBuilder, type Value, multiplyDims } from "../../compute/graph/index.ts";

export interface AttentionShape {
  /** H */
  readonly heads: number;
  /** K */
  readonly kvHeads: number;
  /** E */
  readonly headWidth: number;
  /** Query chunks: S must be this many times a chunk's length. Keys after a chunk's end are skipped. */
  readonly chunks: number;
}

/**
 * softmax(q kᵀ / √E + mask) v.
 * q [B, S, H·E], k and v [B, S, K·E], mask [1, 1, S, S] (0 or a large negative number) → [B, S, H·E].
 */
export function attention(
  g: GraphBuilder,
  [q, k, v]: readonly [Value, Value, Value],
  mask: Value,
  { heads, kvHeads, headWidth, chunks }: AttentionShape,
): Value {
  const [batch, length] = [q.shape[0]!, q.shape[1]!];
  const group = heads / kvHeads;
  const chunk = chunks === 1 ? length : chunkLength(length, chunks);
  // [B, S, N·E] → [B, N, chunks, C, E]
  const split = (x: Value, count: number): Value =>
    g.transpose(g.reshape(x, [batch, chunks, chunk, count, headWidth]), [0, 3, 1, 2, 4]);
  const qs = split(q, heads);
  const ks = split(k, kvHeads);
  const vs = split(v, kvHeads);
  const masks = g.reshape(mask, [chunks, chunk, length]);
  const outputs: Value[] = [];
  for (let i = 0; i < chunks; i++) {
    const keys = multiplyDims(i + 1, chunk);
    const upTo = (x: Value): Value =>
      g.reshape(only(g, x, 2, 0, i + 1, chunks), [batch, kvHeads, keys, headWidth]);
    const queries = g.reshape(only(g, qs, 2, i, i + 1, chunks), [
      batch,
      kvHeads,
      multiplyDims(group, chunk),
      headWidth,
    ]);
    const visible =
      i === chunks - 1
        ? g.reshape(only(g, masks, 0, i, i + 1, chunks), [1, 1, chunk, length])
        : chunkMask(g, mask, i, chunks, chunk);
    const output = attend(g, queries, upTo(ks), upTo(vs), visible, group);
    outputs.push(g.reshape(output, [batch, heads, 1, chunk, headWidth]));
  }
  const joined = g.transpose(g.concat(outputs, 2), [0, 2, 3, 1, 4]);
  return g.reshape(joined, [batch, length, heads * headWidth]);
}

function chunkLength(length: Value["shape"][number], chunks: number): Value["shape"][number] {
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
function chunkMask(
  g: GraphBuilder,
  mask: Value,
  i: number,
  chunks: number,
  chunk: Value["shape"][number],
): Value {
  const tiles = g.reshape(mask, [chunks, chunk, chunks, chunk]);
  const tile = g.slice(g.slice(tiles, 0, i, i + 1), 2, 0, i + 1);
  return g.reshape(tile, [1, 1, chunk, multiplyDims(i + 1, chunk)]);
}

/**
 * queries [B, K, G·C, E], keys and values [B, K, N, E], mask [1, 1, C, N] → [B, K, G·C, E].
 * Gradient: ds = p ⊙ (dp − Σ dO ⊙ O), whose row sum is over E rather than N (Dao et al., 2022).
 */
function attend(
  g: GraphBuilder,
  queries: Value,
  keys: Value,
  values: Value,
  mask: Value,
  group: number,
): Value {
  const [batch, kvHeads, rows, width] = queries.shape as [
    Value["shape"][number],
    number,
    Value["shape"][number],
    number,
  ];
  const scale = 1 / Math.sqrt(width);
  const [chunk, length] = [mask.shape[2]!, mask.shape[3]!];
  let probabilities: Value;
  let output: Value;
  const [result] = g.custom(
    [queries, keys, values],
    () => {
      const scores = g.matmul(queries, keys, { transB: true, alpha: scale });
      const perHead = g.reshape(scores, [batch, kvHeads * group, chunk, length]);
      probabilities = g.reshape(g.softmax(g.add(perHead, mask)), [batch, kvHeads, rows, length]);
      output = g.matmul(probabilities, values);
      return [output];
    },
    ([dOutput]) => {
      const dValues = g.matmul(probabilities, dOutput!, { transA: true });
      const dProbabilities = g.matmul(dOutput!, values, { transB: true });
      const correction = g.sum(g.mul(dOutput!, output), [-1], true);
      const dScores = g.mul(probabilities, g.sub(dProbabilities, correction));
      return [
        g.matmul(dScores, keys, { alpha: scale }),
        g.matmul(dScores, queries, { transA: true, alpha: scale }),
        dValues,
      ];
    },
  );
  return result!;
}
