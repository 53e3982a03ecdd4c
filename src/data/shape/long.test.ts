/** Over-sampling and mixing reach the shares they are asked for, or say why not. */
import { describe, expect, it } from "vitest";
import { countByClass } from "./columns.ts";
import { longShare, raiseLongShare } from "./long.ts";
import { mixSources } from "./mix.ts";

const OPTIONS = { overTurns: 5, share: 0.4, maxCopies: 10, maxIntentShare: 1, seed: 1 };

describe("raiseLongShare", () => {
  const turns = Uint16Array.from({ length: 100 }, (_, row) => (row < 20 ? 8 : 3));
  const intent = Uint32Array.from({ length: 100 }, (_, row) => row % 5);
  const ones = new Uint16Array(100).fill(1);

  it("adds just enough copies, evenly", () => {
    const { copies, report } = raiseLongShare({ turns, intent }, ones, 5, OPTIONS);
    // (20 + k) / (100 + k) ≥ 0.4  ⇒  k = 34
    expect(report).toMatchObject({ shareBefore: 0.2, added: 34, notes: [] });
    expect(longShare(turns, copies, 5)).toBeGreaterThanOrEqual(0.4);
    expect(Math.max(...copies) - Math.min(...copies.slice(0, 20))).toBeLessThanOrEqual(1);
    expect(copies.slice(20).every((count) => count === 1)).toBe(true);
  });

  it("stops at the copies allowed and says so", () => {
    const { report } = raiseLongShare({ turns, intent }, ones, 5, { ...OPTIONS, maxCopies: 2 });
    expect(report.added).toBe(20);
    expect(report.notes.join()).toContain("33.3 % only");
  });

  it("never takes an intent above its limit", () => {
    const oneIntent = Uint32Array.from({ length: 100 }, (_, row) => (row < 20 ? 0 : 1 + (row % 4)));
    const { copies } = raiseLongShare({ turns, intent: oneIntent }, ones, 5, {
      ...OPTIONS,
      maxIntentShare: 0.3,
    });
    const counts = countByClass(oneIntent, copies, 5);
    expect(counts[0]! / counts.reduce((a, b) => a + b)).toBeLessThanOrEqual(0.3);
    expect(counts[0]).toBeGreaterThan(20);
  });

  it("says when nothing is long", () => {
    const { report } = raiseLongShare({ turns: new Uint16Array(100), intent }, ones, 5, OPTIONS);
    expect(report.notes.join()).toContain("nothing to repeat");
  });
});

describe("mixSources", () => {
  const source = Uint16Array.from({ length: 100 }, (_, row) => (row < 80 ? 0 : 1));
  const ones = new Uint16Array(100).fill(1);
  const names = ["shop.jsonl", "bank.jsonl"];

  it("repeats the scarce source", () => {
    const mixed = mixSources({ source }, ones, names, {
      weights: [1, 1],
      by: "repeat",
      maxCopies: 5,
      seed: 1,
    })!;
    expect(countByClass(source, mixed.copies, 2)).toEqual([80, 80]);
  });

  it("or thins the plentiful one", () => {
    const mixed = mixSources({ source }, ones, names, {
      weights: [3, 1],
      by: "drop",
      maxCopies: 5,
      seed: 1,
    })!;
    expect(countByClass(source, mixed.copies, 2)).toEqual([60, 20]);
  });

  it("stops at the copies allowed and says so, and a weight of 0 leaves a source out", () => {
    const mixed = mixSources({ source }, ones, names, {
      weights: [1, 1],
      by: "repeat",
      maxCopies: 2,
      seed: 1,
    })!;
    expect(countByClass(source, mixed.copies, 2)).toEqual([80, 40]);
    expect(mixed.report.notes.join()).toContain("bank.jsonl would have to stand 4.0 times");
    const without = mixSources({ source }, ones, names, {
      weights: [0, 1],
      by: "repeat",
      maxCopies: 2,
      seed: 1,
    })!;
    expect(countByClass(source, without.copies, 2)).toEqual([0, 20]);
    expect(
      mixSources({ source }, ones, names, {
        weights: [undefined, undefined],
        by: "drop",
        maxCopies: 2,
        seed: 1,
      }),
    ).toBeUndefined();
  });
});
