/** The cap is the true fixed point: checked against trying every cap. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { largestShare, shareCap } from "./cap.ts";

const kept = (counts: readonly number[], cap: number): number[] =>
  counts.map((count) => Math.min(count, cap));

describe("shareCap", () => {
  it("keeps everything where no class is above the limit", () => {
    expect(shareCap([30, 30, 40], 0.4)).toMatchObject({ reachable: true, cap: Infinity, total: 100 });
  });

  it("goes on until the share of the smaller total holds", () => {
    // 30 % of the old total would be 300, and 300 of 700 is 43 %.
    const { cap, total } = shareCap([600, 100, 100, 100, 100], 0.3);
    expect(cap).toBe(171);
    expect(total).toBe(571);
    expect(171 / 571).toBeLessThanOrEqual(0.3);
    expect(172 / 572).toBeGreaterThan(0.3);
  });

  it("says that three intents cannot reach 30 %, and what they can reach", () => {
    expect(shareCap([50, 20, 30], 0.3)).toEqual({ reachable: false, cap: 0, total: 0, leastShare: 1 / 3 });
    expect(shareCap([50, 0, 0], 0.3)).toMatchObject({ reachable: false, leastShare: 1 });
    expect(shareCap([], 0.3)).toMatchObject({ reachable: true, total: 0 });
  });

  it("is the best of all caps (any counts, any limit)", () => {
    const counts = fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 8 });
    const limit = fc.integer({ min: 1, max: 100 }).map((percent) => percent / 100);
    fc.assert(
      fc.property(counts, limit, (counts, limit) => {
        const result = shareCap(counts, limit);
        let best = 0;
        for (let cap = 1; cap <= 60; cap++) {
          if (largestShare(kept(counts, cap)) <= limit + 1e-9) best = cap;
        }
        const total = counts.reduce((sum, count) => sum + count, 0);
        if (total === 0) return;
        expect(result.reachable).toBe(best > 0);
        if (!result.reachable) {
          expect(result.leastShare).toBeGreaterThan(limit);
          return;
        }
        const ours = kept(counts, result.cap);
        expect(largestShare(ours)).toBeLessThanOrEqual(limit + 1e-9);
        expect(ours.reduce((sum, count) => sum + count, 0)).toBe(result.total);
        expect(result.total).toBe(kept(counts, best).reduce((sum, count) => sum + count, 0));
      }),
      { numRuns: 2000 },
    );
  });
});
