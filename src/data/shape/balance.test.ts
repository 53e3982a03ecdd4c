/** Balance: the limit holds exactly, conversations are thinned before they vanish, the same seed gives the same rows. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BalanceOptions, balance, classWeights, fillLevel } from "./balance.ts";
import { largestShare, shareCap } from "./cap.ts";
import { countByClass } from "./columns.ts";

const OPTIONS: BalanceOptions = { method: "drop", maxShare: 0.3, maxLoss: 1, maxWeight: 10, seed: 7 };

function rows(pairs: readonly (readonly [conversation: number, intent: number])[]) {
  return {
    conversation: Uint32Array.from(pairs, ([conversation]) => conversation),
    intent: Uint32Array.from(pairs, ([, intent]) => intent),
  };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, k) => `intent-${k}`);

describe("balance by leaving out", () => {
  it("holds the limit for any rows, keeps the most it can, and is deterministic", () => {
    const pair = fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 6 }));
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 120 }), fc.integer(), (pairs, seed) => {
        const table = rows(pairs);
        const copies = new Uint16Array(pairs.length).fill(1);
        const result = balance(table, copies, names(7), { ...OPTIONS, seed });
        const counts = countByClass(table.intent, result.copies, 7);
        const cap = shareCap(countByClass(table.intent, copies, 7), 0.3);
        if (cap.reachable) {
          expect(largestShare(counts)).toBeLessThanOrEqual(0.3 + 1e-9);
          expect(counts.reduce((sum, count) => sum + count, 0)).toBe(cap.total);
          expect(result.report.reached).toBe(true);
        } else {
          expect(result.copies).toEqual(copies);
          expect(result.report.notes.join()).toContain("least reachable");
        }
        expect(balance(table, copies, names(7), { ...OPTIONS, seed }).copies).toEqual(result.copies);
      }),
      { numRuns: 500 },
    );
  });

  it("thins long conversations instead of deleting them", () => {
    // Intent 0: one conversation of 20 examples, five of 2; the other intents: 4 each.
    const pairs: [number, number][] = [];
    for (let i = 0; i < 20; i++) pairs.push([0, 0]);
    for (let c = 1; c <= 5; c++) pairs.push([c, 0], [c, 0]);
    for (let intent = 1; intent <= 5; intent++) for (let i = 0; i < 4; i++) pairs.push([10 + intent, intent]);
    const table = rows(pairs);
    const { copies } = balance(table, new Uint16Array(pairs.length).fill(1), names(6), OPTIONS);
    const left = countByClass(table.conversation as Uint32Array, copies, 16);
    expect(left.slice(0, 6).every((count) => count >= 1)).toBe(true);
    expect(left[0]).toBeLessThanOrEqual(2);
  });

  it("prefers to keep the only example of a conversation", () => {
    // Conversations 0–9 have intent 0 alone; 10–19 have intent 0 and one of the others.
    const pairs: [number, number][] = [];
    for (let c = 0; c < 20; c++) pairs.push([c, 0]);
    for (let c = 10; c < 20; c++) pairs.push([c, 1 + (c % 5)], [c, 1 + ((c + 1) % 5)]);
    const table = rows(pairs);
    const { copies } = balance(table, new Uint16Array(pairs.length).fill(1), names(6), OPTIONS);
    const kept = countByClass(table.intent, copies, 6)[0]!;
    const lonely = pairs.filter(([c, intent], row) => c < 10 && intent === 0 && copies[row] === 1).length;
    expect(kept).toBe(8);
    expect(lonely).toBe(8);
  });

  it("takes repeated copies away before the last copy of an example", () => {
    const pairs: [number, number][] = [
      [0, 0],
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ];
    const copies = Uint16Array.from([3, 1, 1, 1, 1]);
    const result = balance(rows(pairs), copies, names(4), { ...OPTIONS, maxShare: 0.4 });
    expect([...result.copies]).toEqual([1, 1, 1, 1, 1]);
  });

  it("says what three intents can reach and leaves nothing out", () => {
    const result = balance(
      rows([
        [0, 0],
        [1, 0],
        [2, 1],
        [3, 2],
      ]),
      new Uint16Array(4).fill(1),
      names(3),
      OPTIONS,
    );
    expect(result.report).toMatchInlineSnapshot(`
      {
        "dropped": 0,
        "maxShare": 0.3,
        "method": "drop",
        "notes": [
          "3 intents cannot all stay at or below 30.0 %: the least reachable largest share is 1/3 = 33.3 %. Nothing was left out; add conversations of other intents, or raise shape.balance.maxShare.",
        ],
        "reached": false,
        "shareAfter": 0.5,
        "shareBefore": 0.5,
      }
    `);
  });

  it("goes over to weights where leaving out would cost too much", () => {
    const pairs: [number, number][] = [];
    for (let i = 0; i < 1000; i++) pairs.push([i, 0]);
    for (let intent = 1; intent < 6; intent++) pairs.push([2000 + intent, intent], [3000 + intent, intent]);
    const result = balance(rows(pairs), new Uint16Array(pairs.length).fill(1), names(6), {
      ...OPTIONS,
      maxLoss: 0.5,
    });
    expect(result.report.method).toBe("weight");
    expect(result.report.reached).toBe(false);
    expect(result.report.notes).toHaveLength(2);
    expect(Math.max(...result.weights!) / Math.min(...result.weights!)).toBeGreaterThan(9);
  });
});

describe("classWeights", () => {
  it("gives each class its share of the loss with mean weight 1", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 4, maxLength: 9 }), (counts) => {
        if (counts.filter((count) => count > 0).length < 4) return;
        const { weights, shareAfter, limited } = classWeights(counts, 0.3, 1e9);
        const total = counts.reduce((sum, count) => sum + count, 0);
        const loss = counts.map((count, k) => count * weights[k]!);
        expect(limited).toBe(false);
        expect(shareAfter).toBeLessThanOrEqual(0.3 + 1e-9);
        // Weights are written with six decimals.
        expect(Math.abs(loss.reduce((sum, x) => sum + x, 0) - total)).toBeLessThan(1e-3);
        expect(largestShare(loss)).toBeLessThanOrEqual(0.3 + 1e-4);
      }),
      { numRuns: 500 },
    );
  });

  it("leaves balanced classes alone", () => {
    expect(classWeights([25, 25, 25, 25], 0.3, 10).weights).toEqual([1, 1, 1, 1]);
  });
});

describe("fillLevel", () => {
  it("is water-filling", () => {
    expect(fillLevel([1, 5, 9], 10)).toEqual({ each: 4, extra: 1 });
    expect(fillLevel([2, 2, 2], 2)).toEqual({ each: 0, extra: 2 });
    expect(fillLevel([2, 3], 9)).toEqual({ each: 3, extra: 0 });
  });
});
