/** What may change when a run is resumed: the table, and the message of a refusal. */
import { expect, test } from "vitest";
import { leafKeys } from "./resolve.ts";
import { resumeRules, safeChanges, settingChanges } from "./resume-settings.ts";
import { type TrainConfig, trainConfigSchema } from "./schema.ts";

const config = (changes: Record<string, unknown> = {}): TrainConfig =>
  trainConfigSchema.parse({ model: "m", data: "d.jsonl", ...changes });
const state = (before: TrainConfig, after: TrainConfig, step = 10, warmup: [number, number] = [0, 0]) => ({
  before,
  after,
  step,
  warmupSteps: warmup,
});
const refusal = (...[before, after, step, warmup]: Parameters<typeof state>): string => {
  try {
    safeChanges(state(before, after, step, warmup), "runs/x");
  } catch (error) {
    return (error as Error).message;
  }
  return "allowed";
};

test("every setting of a full configuration has a rule", () => {
  for (const key of leafKeys(config())) expect(Object.keys(resumeRules)).toContain(key);
});

test("changes are found in nested and in absent settings", () => {
  const after = config({ lora: { rank: 8, targets: ["q_proj"] }, training: { steps: 5 } });
  expect(settingChanges(config(), after)).toEqual([
    { key: "lora.rank", before: 16, after: 8 },
    { key: "lora.targets", before: ["q_proj", "v_proj"], after: ["q_proj"] },
    { key: "training.steps", before: undefined, after: 5 },
  ]);
});

test("places, threads, checkpoints and more patience are safe", () => {
  const after = config({
    model: "elsewhere",
    data: { train: "moved.jsonl" },
    out: "runs/y",
    checkpoint: { every: 3, keep: 9 },
    runtime: { threads: 1 },
    evaluation: { patience: 7 },
    training: { checkpointing: "blocks" },
  });
  expect(safeChanges(state(config(), after), "runs/x").map(({ key }) => key)).toEqual([
    "model",
    "data.train",
    "out",
    "training.checkpointing",
    "evaluation.patience",
    "checkpoint.every",
    "checkpoint.keep",
    "runtime.threads",
  ]);
});

test("a refusal names key, old and new value and the reason", () => {
  expect(refusal(config(), config({ lora: { rank: 8 }, seed: 1 }))).toMatchInlineSnapshot(
    `"seed was 42 when the run in runs/x began and is 1 now: it decides the batches, and the run would not go on where it stopped (also changed: lora.rank). Resume with seed as it was, or start a new run under another --out."`,
  );
  expect(refusal(config(), config({ evaluation: { patience: 1 } }))).toMatchInlineSnapshot(
    `"evaluation.patience was 3 when the run in runs/x began and is 1 now: fewer evaluations without improvement might have stopped the run before. Resume with evaluation.patience as it was, or start a new run under another --out."`,
  );
  expect(refusal(config(), config({ training: { maxLength: 64 } }))).toMatchInlineSnapshot(
    `"training.maxLength was not set when the run in runs/x began and is 64 now: it decides the batches, and the run would not go on where it stopped. Resume with training.maxLength as it was, or start a new run under another --out."`,
  );
});

test("more steps only where the schedule does not depend on their number", () => {
  const steps = (count: number, kind: string) => config({ training: { steps: count }, schedule: { kind } });
  expect(refusal(steps(100, "constant"), steps(200, "constant"))).toBe("allowed");
  expect(refusal(steps(100, "constant"), steps(50, "constant"))).toBe("allowed");
  expect(refusal(steps(100, "constant"), steps(5, "constant"))).toMatchInlineSnapshot(
    `"training.steps was 100 when the run in runs/x began and is 5 now: 10 steps are done already. Resume with training.steps as it was, or start a new run under another --out."`,
  );
  expect(refusal(steps(100, "cosine"), steps(200, "cosine"))).toMatchInlineSnapshot(
    `"training.steps was 100 when the run in runs/x began and is 200 now: the cosine schedule is laid out over all steps, so past learning rates would have been others. Resume with training.steps as it was, or start a new run under another --out."`,
  );
  expect(refusal(steps(100, "constant"), steps(200, "constant"), 4, [3, 6])).toMatchInlineSnapshot(
    `"training.steps was 100 when the run in runs/x began and is 200 now: the warm-up, a share of all steps, is not over yet. Resume with training.steps as it was, or start a new run under another --out."`,
  );
  expect(refusal(steps(100, "constant"), steps(200, "constant"), 6, [3, 6])).toBe("allowed");
});
