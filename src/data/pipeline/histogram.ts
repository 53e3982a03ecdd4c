/** Counts by range, filled one value at a time. */
import type { Histogram } from "../dataset/index.ts";

export class HistogramCounter {
  readonly #edges: readonly number[];
  readonly #counts: number[];

  /** Ascending lower ends; the first is the least value possible, the last bin is open. */
  constructor(edges: readonly number[]) {
    this.#edges = edges;
    this.#counts = edges.map(() => 0);
  }

  add(value: number, times = 1): void {
    let low = 0;
    let high = this.#edges.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#edges[middle]! <= value) low = middle;
      else high = middle - 1;
    }
    this.#counts[low]! += times;
  }

  value(): Histogram {
    return { edges: [...this.#edges], counts: [...this.#counts] };
  }
}

/** Lower ends for words of a reply: the seed's limits 10 and 200 are edges. */
export const WORD_EDGES = [0, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 201, 400];
/** Lower ends for exchanges of an example: 6 begins the long ones. */
export const TURN_EDGES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30];
/** Lower ends for tokens of an example. */
export const TOKEN_EDGES = [0, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192];
