/** Every sequence once an epoch, in an order that the seed decides and a cursor resumes; micro-batches within bounds. */
import { array, assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { type Batch, batchesFrom, countBatches, epochBatches, microBatches } from "./batches.ts";
import { flatten } from "./flat.ts";
import type { FeedSequence } from "./fold.ts";

/** A sequence that its first id tells from the others. */
const sequence = (name: number, length: number, replies = 1): FeedSequence => ({
  ids: Int32Array.from({ length }, (_, at) => (at === 0 ? name : at)),
  weights: Float32Array.from({ length }, (_, at) => (at > 0 && at % 3 === 1 ? 0.5 * replies : 0)),
  replies,
  rows: [name],
});
const names = (sequences: readonly FeedSequence[]): number[] => sequences.map((one) => one.ids[0]!);
const take = (generator: Generator<Batch, never>, count: number): Batch[] =>
  Array.from({ length: count }, () => generator.next().value);

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

describe("batchesFrom", () => {
  const all = sequencesOf(Array.from({ length: 23 }, (_, i) => i + 1));
  const options = { batch: 5, seed: 9 };

  it("goes on from any cursor exactly as it would have gone on", () => {
    const whole = take(batchesFrom(all, options), 40);
    for (const stop of [1, 7, 8, 9, 25]) {
      const cursor = JSON.parse(JSON.stringify(whole[stop - 1]!.next)) as Batch["next"];
      const rest = take(batchesFrom(all, options, cursor), 40 - stop);
      expect(rest.map((one) => names(one.sequences))).toEqual(
        whole.slice(stop).map((one) => names(one.sequences)),
      );
    }
  });

  it("counts replies, tokens and weight, and epochs as they come", () => {
    const count = countBatches(all, 2, options);
    const batches = take(batchesFrom(all, options), count);
    expect(batches.at(-1)!.next).toEqual({ epoch: 2, batch: 0 });
    expect(names(batches.flatMap((one) => one.sequences))).toHaveLength(2 * all.length);
    for (const { sequences, replies, tokens, weight } of batches) {
      expect(replies).toBe(sequences.reduce((sum, one) => sum + one.replies, 0));
      expect(tokens).toBe(sequences.reduce((sum, one) => sum + one.ids.length, 0));
      expect(weight).toBeCloseTo(
        sequences.reduce((sum, one) => sum + one.weights.reduce((a, b) => a + b, 0), 0),
        4,
      );
    }
  });

  it("refuses a cursor that these data cannot have given", () => {
    expect(() => batchesFrom(all, options, { epoch: 0, batch: 99 }).next()).toThrow(
      /before batch 100 of an epoch/,
    );
  });
});

describe("microBatches", () => {
  it("has every sequence once, sorted by length, within the bound unless one is longer by itself", () => {
    assert(
      property(sizes, integer({ min: 20, max: 250 }), (lengths, maxTokens) => {
        const all = sequencesOf(lengths);
        const groups = microBatches(all, maxTokens);
        expect(names(groups.flat()).sort((a, b) => a - b)).toEqual([...all.keys()]);
        const ordered = groups.flat().map((one) => one.ids.length);
        expect(ordered).toEqual(ordered.toSorted((a, b) => a - b));
        for (const group of groups) {
          expect(group).not.toHaveLength(0);
          const tokens = group.reduce((sum, one) => sum + one.ids.length, 0);
          if (tokens > maxTokens) expect(group).toHaveLength(1);
        }
      }),
    );
  });
});

describe("flatten", () => {
  it("gives back every token, position and target of every sequence, and masks padding by place", () => {
    assert(
      property(array(integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 }), (lengths) => {
        const all = sequencesOf(lengths);
        const flat = flatten(all);
        const { sequences: count, longest, tokens } = flat;
        expect([count, longest, tokens]).toEqual([
          all.length,
          Math.max(...all.map((one) => one.ids.length)),
          all.reduce((sum, one) => sum + one.ids.length, 0),
        ]);
        for (const [b, one] of all.entries()) {
          for (let i = 0; i < longest; i++) {
            const padded = b * longest + i;
            const real = i < one.ids.length;
            expect(flat.positions[padded]).toBe(BigInt(i));
            expect(flat.padMask[padded]).toBe(real ? 1 : 0);
            const at = Number(flat.padIndex[padded]);
            if (real) {
              expect(flat.ids[at]).toBe(BigInt(one.ids[i]!));
              expect(flat.unpadIndex[at]).toBe(BigInt(padded));
            } else expect(at).toBe(0);
          }
        }
        const targets = [...flat.rows].map((at, r) => {
          const padded = Number(flat.unpadIndex[Number(at)]);
          return [
            Math.floor(padded / longest),
            (padded % longest) + 1,
            Number(flat.labels[r]),
            flat.weights[r],
          ];
        });
        const expected = all.flatMap((one, b) =>
          [...one.weights.entries()]
            .filter(([, weight]) => weight > 0)
            .map(([at, weight]) => [b, at, one.ids[at], weight]),
        );
        expect(targets).toEqual(expected);
        expect(flat.targets).toBe(expected.length);
        expect(flat.weight).toBeCloseTo(
          expected.reduce((sum, one) => sum + one[3]!, 0),
          4,
        );
      }),
    );
  });

  it("does not take a token for padding because its id is the padding id", () => {
    const flat = flatten([
      { ids: Int32Array.of(2, 2, 2), weights: Float32Array.of(0, 0, 1), replies: 1, rows: [0] },
      { ids: Int32Array.of(2), weights: Float32Array.of(0), replies: 1, rows: [1] },
    ]);
    expect([...flat.padMask]).toEqual([1, 1, 1, 1, 0, 0]);
    expect([...flat.labels]).toEqual([2n]);
    expect([...flat.rows]).toEqual([1n]);
  });
});
