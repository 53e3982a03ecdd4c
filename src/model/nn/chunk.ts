/** Sizes in equal chunks. */
import type { Dim } from "../../compute/graph/index.ts";

/** The length of each of `chunks` chunks of an axis, whose size is a number or `chunks*SYMBOL`. */
export function chunkLength(length: Dim, chunks: number): Dim {
  if (chunks === 1) return length;
  if (typeof length === "number") return length / chunks;
  const match = /^(\d+)\*(\w+)$/.exec(length);
  if (match === null || Number(match[1]) !== chunks)
    throw new Error(`a length of ${length} is not ${chunks} chunks`);
  return match[2]!;
}
