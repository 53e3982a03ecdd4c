/** Micro-batches hold every sequence once, within bounds; common beginnings are read once. */
import { array, assert, constantFrom, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import type { Sequence } from "./flat-batch.ts";
import { inLanes, microBatches } from "./micro-batches.ts";
import { TokenTree, tokenCount } from "./token-tree.ts";

const sequence = (ids: readonly number[], targets: readonly number[] = []): Sequence => ({
  ids,
  weights: ids.map((_, at) => (targets.includes(at) ? 1 : 0)),
});
/** Sequences over few ids, so that many begin alike; any position but the first may be a target. */
const sequences = array(
  array(integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 12 }).chain((ids) =>
    array(integer({ min: 1, max: 11 }), { maxLength: 3 }).map((targets) =>
      sequence(
        ids,
        targets.filter((at) => at < ids.length),
      ),
    ),
  ),
  { minLength: 1, maxLength: 8 },
);

const treeOf = (
  all: readonly Sequence[],
  share: boolean,
): { readonly count: number; readonly tokens: readonly Int32Array[] } => {
  const tree = new TokenTree(share);
  const tokens = all.map((one) => tree.add(one));
  return { count: tree.count, tokens };
};

describe("microBatches", () => {
  it("has every sequence once, sorted by length, within the bound unless one is longer by itself", () => {
    assert(
      property(
        sequences,
        integer({ min: 3, max: 40 }),
        constantFrom(true, false),
        (all, maxTokens, share) => {
          const groups = microBatches(all, maxTokens, { share });
          expect(new Set(groups.flat())).toEqual(new Set(all));
          expect(groups.flat()).toHaveLength(all.length);
          const ordered = groups.flat().map((one) => one.ids.length);
          expect(ordered).toEqual(ordered.toSorted((a, b) => a - b));
          for (const group of groups) {
            expect(group).not.toHaveLength(0);
            if (tokenCount(group, share) > maxTokens) expect(group).toHaveLength(1);
          }
        },
      ),
    );
  });

  it("does not pad many rows to a much longer one", () => {
    const all = [90, 91, 92, 93, 94, 95, 450].map((length) =>
      sequence(Array.from({ length }, (_, i) => i + length)),
    );
    expect(microBatches(all, 2000).map((group) => group.length)).toEqual([6, 1]);
  });

  it("counts a shared beginning once: a long system prompt does not make many micro-batches", () => {
    const prompt = Array.from({ length: 50 }, (_, i) => i);
    const all = [0, 1, 2, 3].map((n) => sequence([...prompt, 100 + n, 200 + n], [51]));
    expect(microBatches(all, 60)).toHaveLength(1);
    expect(microBatches(all, 60, { share: false })).toHaveLength(4);
  });

  it("counts what all sequences of a micro-batch can share, not each and the one before it", () => {
    // Each shares all of the one before it; the last has the first one's target, so that token 1 is read twice.
    const all = [sequence([1, 2], [1]), sequence([1, 2, 3]), sequence([1, 2, 3, 4], [1])];
    expect(tokenCount(all, true)).toBe(7);
    expect(microBatches(all, 7)).toHaveLength(1);
    expect(microBatches(all, 6)).toHaveLength(2);
    // The first and the last begin alike, though the one between them does not.
    const apart = [sequence([1, 2, 3, 4]), sequence([5, 6, 7, 8, 9]), sequence([1, 2, 3, 4, 5, 6])];
    expect(tokenCount(apart, true)).toBe(11);
    expect(microBatches(apart, 11)).toHaveLength(1);
    expect(microBatches(apart, 10)).toHaveLength(2);
  });
});

describe("inLanes", () => {
  it("gives each micro-batch to one lane, in order, and leaves none idle beside one that has two", () => {
    assert(
      property(
        sequences,
        integer({ min: 3, max: 40 }),
        integer({ min: 1, max: 4 }),
        (all, maxTokens, lanes) => {
          const groups = microBatches(all, maxTokens, { lanes });
          expect(groups.flat()).toHaveLength(all.length);
          expect(new Set(groups.flat())).toEqual(new Set(all));
          for (const group of groups)
            if (tokenCount(group, true) > maxTokens / lanes) expect(group).toHaveLength(1);
          const chosen = inLanes(groups, lanes);
          expect(chosen).toHaveLength(lanes);
          expect(chosen.flat().sort((a, b) => a - b)).toEqual(groups.map((_, index) => index));
          for (const lane of chosen) expect(lane).toEqual(lane.toSorted((a, b) => a - b));
          if (chosen.some((lane) => lane.length === 0))
            expect(Math.max(...chosen.map((lane) => lane.length))).toBeLessThan(2);
        },
      ),
    );
  });

  it("cuts so that two lanes have as much to do", () => {
    const all = Array.from({ length: 6 }, (_, n) =>
      sequence(Array.from({ length: 100 }, (_, i) => 1000 * n + i)),
    );
    // Two of 300 tokens rather than one of 400 and one of 200.
    expect(microBatches(all, 800, { lanes: 2 }).map((group) => group.length)).toEqual([3, 3]);
  });
});

describe("TokenTree", () => {
  it("a token's path of ids is that of each sequence that reads it, and it has at most one target behind it", () => {
    assert(
      property(sequences, constantFrom(true, false), (all, share) => {
        const { count, tokens } = treeOf(all, share);
        const paths = new Map<number, string>();
        const targets = new Map<number, number>();
        let next = 0;
        for (const [b, { ids, weights }] of all.entries()) {
          for (let s = 0; s < ids.length; s++) {
            const token = tokens[b]![s]!;
            const path = Array.from(tokens[b]!.subarray(0, s + 1), (one) => one).join();
            expect(token).toBeLessThanOrEqual(next);
            if (token === next) next += 1;
            // The same token always comes from the same tokens with the same id.
            expect(paths.get(token) ?? `${path}:${ids[s]}`).toBe(`${path}:${ids[s]}`);
            paths.set(token, `${path}:${ids[s]}`);
            if ((weights[s + 1] ?? 0) > 0) targets.set(token, (targets.get(token) ?? 0) + 1);
          }
        }
        expect(next).toBe(count);
        expect(Math.max(0, ...targets.values())).toBeLessThanOrEqual(1);
        if (!share) expect(count).toBe(all.reduce((sum, { ids }) => sum + ids.length, 0));
      }),
    );
  });

  it("shares what precedes the reply and no more where two replies begin alike", () => {
    const { count, tokens } = treeOf([sequence([1, 2, 3, 4], [2, 3]), sequence([1, 2, 3, 5], [2, 3])], true);
    // Token 2 predicts the target 3 in both, so each has its own.
    expect(tokens.map((path) => [...path])).toEqual([
      [0, 1, 2, 3],
      [0, 4, 5, 6],
    ]);
    expect(count).toBe(7);
  });
});
