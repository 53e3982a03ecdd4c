/** The time of a run as it is typed: a plan measures and says it, and the run after it says what came true. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";
import { attune, resultOf } from "./attune.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-plan-time-"));
  await tinyProject(folder, 12);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it(
  "a plan says seconds a step and of the whole run; the run reads them and sets them beside its own",
  {
    timeout: 120_000,
  },
  async () => {
    const words = ["train", "--model", "model", "--data", "train.jsonl", "--set", "training.steps=2"];
    const typed = (...more: readonly string[]) =>
      attune([...words, ...more], { cwd: folder, env: { XDG_CACHE_HOME: join(folder, "cache") } });

    // Nothing was measured yet: nothing is foretold, and nothing is measured.
    const before = await typed("--out", "first", "--json");
    expect(before.code, before.stderr).toBe(0);
    expect(resultOf(before)).not.toHaveProperty("predictedStepSeconds");

    const plan = await typed("--dry-run", "--json");
    expect(plan.code, plan.stderr).toBe(0);
    const expected = resultOf(plan);
    for (const name of ["stepSecondsEstimated", "totalSecondsEstimated", "stepOperations", "stepBytes"])
      expect(expected[name], name).toBeGreaterThan(0);

    const run = await typed("--out", "second", "--json");
    expect(run.code, run.stderr).toBe(0);
    const ended = resultOf(run);
    expect(ended["predictedStepSeconds"]).toBeCloseTo(expected["stepSecondsEstimated"] as number, 6);
    expect(ended["predictedSeconds"]).toBeCloseTo(expected["totalSecondsEstimated"] as number, 6);

    const shown = await typed("--dry-run");
    expect(shown.stdout).toMatch(/^time +about .* a step.*, .* in all if nothing stops it early/m);
  },
);
