/** Splits: by conversation, stratified, rare classes in train, near-duplicates never apart. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../../util/index.ts";
import { Groups, groupLabels, keepTogether, splitConversations, stratificationError } from "./split.ts";
import type { LabelledGroups } from "./stratify.ts";

const FRACTIONS = { train: 0.8, validation: 0.1, test: 0.1 };

/** Groups from lists of labels. */
function groups(lists: readonly (readonly number[])[], labelCount: number): LabelledGroups {
  const conversations = lists.flatMap((list, g) => list.map(() => g));
  return groupLabels(
    Uint32Array.from(conversations),
    Uint32Array.from(lists.flat()),
    lists.length,
    labelCount,
  );
}

const sizes = (splitOf: Uint8Array): number[] => [0, 1, 2].map((j) => splitOf.filter((s) => s === j).length);

describe("groupLabels", () => {
  it("counts equal labels of scattered rows", () => {
    const result = groupLabels(Uint32Array.of(1, 0, 1, 1), Uint32Array.of(2, 0, 2, 1), 2, 3);
    expect([...result.offsets]).toEqual([0, 1, 3]);
    expect([...result.labels]).toEqual([0, 1, 2]);
    expect([...result.counts]).toEqual([1, 1, 2]);
  });
});

describe("splitConversations", () => {
  it("gives every split its share of every label, to a conversation", () => {
    const lists = Array.from({ length: 1000 }, (_, g) => [g % 7, g % 3 === 0 ? 7 : g % 7]);
    const table = groups(lists, 8);
    const { splitOf } = splitConversations(table, { fractions: FRACTIONS, seed: 1 });
    expect(sizes(splitOf)).toEqual([800, 100, 100]);
    expect(stratificationError(table, splitOf, [0.8, 0.1, 0.1])).toBeLessThan(0.01);
  });

  it("is better than chance where conversations carry several intents", () => {
    const rng = random(3, "test");
    const lists = Array.from({ length: 600 }, () =>
      Array.from({ length: 1 + rng.integer(9) }, () => Math.floor(rng.next() ** 3 * 25)),
    );
    const table = groups(lists, 25);
    const { splitOf } = splitConversations(table, { fractions: FRACTIONS, seed: 1 });
    const byChance = Uint8Array.from(rng.shuffle([...splitOf]));
    const fractions = [0.8, 0.1, 0.1];
    expect(stratificationError(table, splitOf, fractions)).toBeLessThan(
      stratificationError(table, byChance, fractions) / 3,
    );
  });

  it("puts a label of one conversation into train and names it", () => {
    for (let seed = 0; seed < 20; seed++) {
      const lists = [[1], ...Array.from({ length: 40 }, () => [0])];
      const fractions = { train: 0.2, validation: 0.4, test: 0.4 };
      const result = splitConversations(groups(lists, 2), { fractions, seed });
      expect(result.splitOf[0]).toBe(0);
      expect(result.singleLabels).toEqual([1]);
    }
  });

  it("fills a wanted split even when every label is rare, and says so", () => {
    const result = splitConversations(groups([[0], [1], [2], [3]], 4), { fractions: FRACTIONS, seed: 1 });
    expect(sizes(result.splitOf)).toEqual([2, 1, 1]);
    expect(result.notes).toHaveLength(2);
    const one = splitConversations(groups([[0]], 1), { fractions: FRACTIONS, seed: 1 });
    expect(sizes(one.splitOf)).toEqual([1, 0, 0]);
    expect(one.notes.join()).toContain("too few conversations");
  });

  it("deals every conversation, for any labels, the same way for the same seed", () => {
    const lists = fc.array(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(lists, fc.integer({ min: 0 }), (lists, seed) => {
        const table = groups(lists, 10);
        const once = splitConversations(table, { fractions: FRACTIONS, seed }).splitOf;
        expect(once.every((split) => split < 3)).toBe(true);
        expect(splitConversations(table, { fractions: FRACTIONS, seed }).splitOf).toEqual(once);
      }),
    );
  });

  it("leaves a split of share 0 empty", () => {
    const lists = Array.from({ length: 80 }, (_, g) => [g % 4]);
    const { splitOf } = splitConversations(groups(lists, 4), {
      fractions: { train: 0.9, validation: 0.1, test: 0 },
      seed: 5,
    });
    expect(sizes(splitOf)).toEqual([72, 8, 0]);
  });
});

describe("keepTogether", () => {
  const joined = (count: number, pairs: readonly (readonly [number, number])[]): Groups => {
    const groups = new Groups(count);
    for (const [a, b] of pairs) groups.join(a, b);
    return groups;
  };

  it("moves a whole chain to train and leaves groups inside one split", () => {
    const splitOf = Uint8Array.of(0, 1, 2, 2, 2, 1);
    expect(
      keepTogether(
        splitOf,
        joined(6, [
          [0, 1],
          [1, 2],
          [3, 4],
        ]),
      ),
    ).toEqual([1, 2]);
    expect([...splitOf]).toEqual([0, 0, 0, 2, 2, 1]);
  });

  it("leaves no pair across splits and moves nothing without need", () => {
    const one = fc.integer({ min: 0, max: 29 });
    const start = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 30, maxLength: 30 });
    fc.assert(
      fc.property(fc.array(fc.tuple(one, one)), start, (pairs, start) => {
        const splitOf = Uint8Array.from(start);
        const groups = joined(30, pairs);
        const moved = keepTogether(splitOf, groups);
        expect(pairs.every(([a, b]) => splitOf[a] === splitOf[b])).toBe(true);
        for (const g of moved) {
          expect(
            start.some((split, other) => split !== start[g] && groups.find(other) === groups.find(g)),
          ).toBe(true);
        }
      }),
    );
  });
});
