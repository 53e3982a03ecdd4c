/** The loop under dynamic loss scaling: overflows are skipped, counted, told, checkpointed; a resumed run goes on alike. */
import { expect, test } from "vitest";
import type { Progress } from "./checkpoint.ts";
import type { TrainingEngine, UpdateOptions } from "./engine.ts";
import { type RunEvent, withoutTimes } from "./events.ts";
import { type LoopOptions, trainingLoop } from "./loop.ts";
import { scalerDefaults } from "./loss-scaler.ts";
import { summariesOf } from "./tensorboard.ts";

const state = {
  parameters: new Float32Array(1),
  firstMoment: new Float32Array(1),
  secondMoment: new Float32Array(1),
};

/** Overflows in the updates numbered in `bad`, from 0; `updates` collects what the engine was asked for. */
function options(bad: ReadonlySet<number>, updates: UpdateOptions[], changes: Partial<LoopOptions> = {}) {
  const engine: TrainingEngine = {
    lanes: 1,
    accumulate: async () => 1,
    update: async (asked) => (bad.has(updates.push(asked) - 1) ? Number.NaN : 1),
    loss: async () => 1,
    squaredNorm: () => 1,
    gradient: async () => new Float32Array(1),
    parameters: () => ({ dtype: "float32", shape: [1], id: 0 }),
    trained: async () => state.parameters,
    state: async () => state,
    restore: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const checkpoints: Progress[] = [];
  const loop: LoopOptions = {
    engine,
    training: {
      stepsPerEpoch: 4,
      batch: () => ({ microBatches: [[]], replies: 1, tokens: 2, supervisedTokens: 1, weight: 1 }),
    },
    validation: [],
    steps: 6,
    learningRate: 1,
    weightDecay: 0,
    maxNorm: 1,
    schedule: { kind: "constant", warmupSteps: 0, totalSteps: 6 },
    lossScaling: { ...scalerDefaults, interval: 2 },
    evaluateEvery: 100,
    patience: { patience: 1, minDelta: 0 },
    checkpointEvery: 2,
    trainableParameters: 1,
    totalParameters: 1,
    saveCheckpoint: async (_, progress) => {
      checkpoints.push(progress);
      return { path: `step ${progress.step}`, written: Promise.resolve() };
    },
    saveBest: async () => {},
    peakBytes: async () => 1,
    ...changes,
  };
  return { loop, checkpoints };
}

async function events(loop: LoopOptions): Promise<RunEvent[]> {
  const all: RunEvent[] = [];
  for await (const event of trainingLoop(loop)) all.push(event);
  return all;
}

const shown = (event: RunEvent): unknown =>
  event.type === "step"
    ? `step ${event.step}: scale ${event.lossScale}, ${event.skippedSteps} skipped`
    : event.type === "skipped"
      ? `step ${event.step} skipped, ${event.skippedSteps} so far: scale ${event.lossScale}`
      : undefined;

test("overflows are skipped and counted, and bias correction counts updates alone", async () => {
  const updates: UpdateOptions[] = [];
  const { loop, checkpoints } = options(new Set([0, 3]), updates);
  const told = await events(loop);
  expect(told.map(shown).filter(Boolean)).toEqual([
    "step 1 skipped, 1 so far: scale 32768",
    "step 2: scale 32768, 1 skipped",
    "step 3: scale 32768, 1 skipped",
    "step 4 skipped, 2 so far: scale 32768",
    "step 5: scale 32768, 2 skipped",
    "step 6: scale 32768, 2 skipped",
  ]);
  expect(updates.map(({ update, gradientScale }) => [update, gradientScale])).toEqual([
    [1, 65_536],
    [1, 32_768],
    [2, 32_768],
    [3, 65_536],
    [3, 32_768],
    [4, 32_768],
  ]);
  expect(checkpoints.map(({ scaler }) => scaler)).toEqual([
    { scale: 32_768, goodSteps: 1, skipped: 1 },
    { scale: 32_768, goodSteps: 0, skipped: 2 },
    { scale: 65_536, goodSteps: 0, skipped: 2 },
  ]);
});

test("a run resumed from each checkpoint tells the same", async () => {
  const whole = options(new Set([0, 3]), []);
  const want = (await events(whole.loop)).map(withoutTimes);
  for (const progress of whole.checkpoints.slice(0, 2)) {
    const bad = new Set([0, 3].map((step) => step - progress.step).filter((step) => step >= 0));
    const { loop } = options(bad, [], { resume: { state, progress, path: "" } });
    const got = (await events(loop))
      .map(withoutTimes)
      .filter(({ type }) => type === "step" || type === "skipped");
    const rest = want.filter(
      ({ type, step }) => (type === "step" || type === "skipped") && Number(step) > progress.step,
    );
    expect(got).toEqual(rest);
  }
});

test("what overflows at any scale is an error that says so", async () => {
  const always = new Set(Array.from({ length: 100 }, (_, i) => i));
  const { loop } = options(always, [], { steps: 100 });
  await expect(events(loop)).rejects.toThrow(
    "step 31 and those before it overflow float16 however small the loss scale (loss 1)",
  );
});

test("TensorBoard shows the loss scale and the skipped steps", () => {
  const skipped = { step: 3, lossScale: 8, skippedSteps: 2, tokens: 1, peakBytes: 1, seconds: 1 } as const;
  expect(summariesOf({ type: "skipped", ...skipped })).toEqual([
    { kind: "scalar", tag: "loss_scale", value: 8 },
    { kind: "scalar", tag: "skipped_steps", value: 2 },
  ]);
});
