/** Queries cut into chunks, each of which sees the keys up to its end: what lies behind it is never computed. */
import {
  type Dim,
  type GraphBuilder,
  type Shape,
  type Value,
  multiplyDims,
} from "../../compute/graph/index.ts";
import { chunkLength } from "./chunk.ts";

export interface QueryChunks {
  /** Queries [B, H, S, E] → of each chunk [B, K, H/K, C, E]. */
  readonly split: (x: Value) => readonly Value[];
  /** The way back. */
  readonly join: (parts: readonly Value[]) => Value;
  /** Keys or values [B, K, S, E] → those that chunk `i` sees, [B, K, 1, (i+1)·C, E]. */
  readonly seen: (x: Value, i: number) => Value;
  /** From a part for what each chunk sees, the sum for all keys [B, K, S, E]. */
  readonly sumSeen: (parts: readonly Value[]) => Value;
  /** Mask [1, 1, S, S] → that of chunk `i`, [1, 1, C, (i+1)·C]. */
  readonly mask: (mask: Value, i: number) => Value;
}

/** For queries [B, H, S, E] and keys [B, K, S, E]; S must be `chunks` times a chunk's length C. */
export function queryChunks(g: GraphBuilder, queries: Shape, keys: Shape, chunks: number): QueryChunks {
  const [batch, heads, length, width] = queries as readonly [Dim, number, Dim, number];
  const kvHeads = keys[1] as number;
  const grouped = (rows: Dim): Shape => [batch, kvHeads, heads / kvHeads, rows, width];
  // One more axis than keys have: the heads of a group share them by broadcasting.
  const shared = (rows: Dim): Shape => [batch, kvHeads, 1, rows, width];
  if (chunks === 1)
    return {
      split: (x) => [g.reshape(x, grouped(length))],
      join: ([part]) => g.reshape(part!, queries),
      seen: (x) => g.reshape(x, shared(length)),
      sumSeen: ([part]) => g.reshape(part!, keys),
      mask: (mask) => mask,
    };
  const chunk = chunkLength(length, chunks);
  const upTo = (i: number): Dim => multiplyDims(i + 1, chunk);
  const tiles = (x: Value, count: number): Value => g.reshape(x, [batch, count, chunks, chunk, width]);
  const all = Array.from({ length: chunks }, (_, i) => i);
  return {
    split: (x) => {
      const queryTiles = tiles(x, heads);
      return all.map((i) => g.reshape(g.slice(queryTiles, 2, i, i + 1), grouped(chunk)));
    },
    join: (parts) => {
      const queryTiles = parts.map((part) => g.reshape(part, [batch, heads, 1, chunk, width]));
      return g.reshape(g.concat(queryTiles, 2), queries);
    },
    seen: (x, i) =>
      i === chunks - 1
        ? g.reshape(x, shared(length))
        : g.reshape(g.slice(tiles(x, kvHeads), 2, 0, i + 1), shared(upTo(i))),
    sumSeen: (parts) => {
      const sum = parts.reduce((sum, part, i) => {
        const before = g.reshape(sum, [batch, kvHeads, i, chunk, width]);
        const grown = g.reshape(g.pad(before, 2, 0, 1), shared(upTo(i)));
        return g.add(part, grown);
      });
      return g.reshape(sum, keys);
    },
    mask: (mask, i) => {
      const rows = g.slice(g.reshape(mask, [chunks, chunk, length]), 0, i, i + 1);
      if (i === chunks - 1) return g.reshape(rows, [1, 1, chunk, length]);
      const tile = g.slice(g.reshape(rows, [1, chunk, chunks, chunk]), 2, 0, i + 1);
      return g.reshape(tile, [1, 1, chunk, upTo(i)]);
    },
  };
}
