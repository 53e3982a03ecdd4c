/** Every sequence once an epoch, in an order that the seed decides. */
import { array, assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { epochBatches } from "./batches.ts";
import type { FeedSequence } from "./fold.ts";

/** A sequence that its first id tells from the others. */
const sequence = (name: number, length: number, replies = 1): FeedSequence => ({
  ids: Int32Array.from({ length }, (_, at) => (at === 0 ? name : at)),
  weights: Float32Array.from({ length }, (_, at) => (at > 0 && at % 3 === 1 ? 0.5 * replies : 0)),
  replies,
  rows: [name],
});
const names = (sequences: readonly FeedSequence[]): number[] => sequences.map((one) => one.ids[0]!);

const sizes = array(integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 40 });
const sequencesOf = (lengths: readonly number[]): FeedSequence[] =>
  lengths.map((length, name) => sequence(name, length + 1, 1 + (length % 4)));

describe("epochBatches", () => {
  it("has every sequence once, in batches of at least so many replies but for the last", () => {
    assert(
      property(sizes, integer({ min: 1, max: 20 }), integer({ min: 0, max: 5 }), (lengths, batch, epoch) => {
        const all = sequencesOf(lengths);
        const batches = epochBatches(all, epoch, { batch, seed: 3 });
        expect(names(batches.flat()).sort((a, b) => a - b)).toEqual([...all.keys()]);
        for (const [at, one] of batches.entries()) {
          const replies = one.reduce((sum, { replies: count }) => sum + count, 0);
          const butLast = one.slice(0, -1).reduce((sum, { replies: count }) => sum + count, 0);
          if (at < batches.length - 1) expect(replies).toBeGreaterThanOrEqual(batch);
          expect(butLast).toBeLessThan(batch);
        }
      }),
    );
  });

  it("counts tokens where it is asked to", () => {
    const all = sequencesOf([9, 9, 9, 4, 4, 4, 4]);
    for (const one of epochBatches(all, 0, { batch: 20, unit: "tokens", seed: 1 }).slice(0, -1)) {
      const lengths = one.map(({ ids }) => ids.length);
      expect(lengths.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(20);
      expect(lengths.slice(0, -1).reduce((a, b) => a + b, 0)).toBeLessThan(20);
    }
  });

  it("orders by seed and epoch", () => {
    const all = sequencesOf(Array.from({ length: 30 }, (_, i) => i + 1));
    const order = (seed: number, epoch: number): number[] =>
      names(epochBatches(all, epoch, { batch: 4, seed }).flat());
    expect(order(1, 0)).toEqual(order(1, 0));
    expect(order(1, 0)).not.toEqual(order(1, 1));
    expect(order(1, 0)).not.toEqual(order(2, 0));
    expect(order(0, 0)).not.toEqual([...all.keys()]);
  });
});
