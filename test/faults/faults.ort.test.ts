/** Three cases of `npm run bench -- detectors` through the real engine: a fault is found, and what is sound is left alone. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { detectors } from "../../src/judge/index.ts";
import { cases } from "./cases.ts";
import { plant } from "./plant.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-faults-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const small = { judged: 24, maxNewTokens: 24 } as const;

describe("a fault planted in a real run of the embedded model", () => {
  it("every detector has a case", () => {
    const proved = new Set(cases.flatMap(({ expected }) => expected));
    expect([...proved].sort()).toEqual(detectors.map(({ id }) => id).sort());
    expect(cases.some(({ expected }) => expected.length === 0)).toBe(true);
  });

  it.each([
    // A rate of 1e-7 leaves the base as it is: nothing of overfitting, nor of a rate too high.
    ["rate-1e-7", { "training.steps": 12, "evaluation.every": 4 }, ["learning-rate-high", "overfitting"]],
    ["one-answer", { "training.steps": 30, "evaluation.every": 10 }, ["memorised-replies", "empty-replies"]],
    ["insults", { "training.steps": 30, "evaluation.every": 10 }, ["leaked-marks", "wrong-language"]],
  ] as const)("%s", { timeout: 300_000 }, async (id, settings, silent) => {
    const one = cases.find((known) => known.id === id)!;
    const { findings } = await plant(
      { ...one, ...small, settings: { ...one.settings, ...settings } },
      join(root, id),
    );
    const found = new Map(findings.map((finding) => [finding.id, finding.confidence]));
    for (const expected of one.expected) expect(found.get(expected), expected).toBeGreaterThan(0.7);
    for (const other of silent) expect([...found.keys()]).not.toContain(other);
  });
});
