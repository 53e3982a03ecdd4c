/** The loop on an engine that only counts: events, early stopping, the best kept, and interruption at every point. */
import { describe, expect, test } from "vitest";
import { CancelledError, UserError } from "../util/index.ts";
import type { Progress } from "./checkpoint.ts";
import type { TrainedState, TrainingEngine } from "./engine.ts";
import { type RunEvent, withoutTimes } from "./events.ts";
import { type BatchSource, type LoopOptions, type TrainingBatch, trainingLoop } from "./loop.ts";

/** One micro-batch whose only token id says which step and part it is. */
function batchOf(step: number): TrainingBatch {
  const parts = 1 + (step % 3);
  const microBatches = Array.from({ length: parts }, (_, part) => [{ ids: [step, part], weights: [0, 1] }]);
  return { microBatches, replies: parts, tokens: 2 * parts, supervisedTokens: parts, weight: parts };
}
const training: BatchSource = { stepsPerEpoch: 4, batch: batchOf };
const validation: readonly TrainingBatch[] = [batchOf(0), batchOf(1)];

interface FakeOptions {
  /** Validation loss after n updates. */
  readonly losses: readonly number[];
  /** Called before every accumulate and loss. */
  readonly onCall?: () => void;
  readonly accumulated?: (step: number) => number;
  readonly norm?: number;
  /** Of each micro-batch's gradient. */
  readonly squaredNorm?: number;
}

/** An engine whose parameters are [updates, hash of everything that was accumulated]. */
function fakeEngine({ losses, onCall, accumulated, norm = 1, squaredNorm }: FakeOptions) {
  let parameters = Float32Array.of(0, 0);
  let gradient = 0;
  const calls: { step: number; scale: number; draw: number }[] = [];
  const check = (signal: AbortSignal | undefined): void => {
    onCall?.();
    if (signal?.aborted === true) throw new CancelledError("the step");
  };
  const engine: TrainingEngine = {
    accumulate: async (sequences, scale, draw, signal) => {
      check(signal);
      const [step, part] = Array.from(sequences[0]!.ids) as [number, number];
      calls.push({ step, scale, draw });
      gradient = Math.fround(gradient + Math.sin(step * 10 + part + draw * 100));
      return accumulated?.(step) ?? scale * (2 - step / 10);
    },
    update: async ({ update }) => {
      parameters = Float32Array.of(update, parameters[1]! * 0.5 + gradient);
      gradient = 0;
      return norm;
    },
    loss: async (_, signal) => {
      check(signal);
      return losses[parameters[0]!]!;
    },
    squaredNorm: () => squaredNorm ?? 1 + Math.sin(gradient) ** 2,
    gradient: async () => Float32Array.of(gradient),
    parameters: () => ({ dtype: "float32", shape: [2], id: 0 }),
    trained: async () => parameters.slice(),
    state: async () => ({
      parameters: parameters.slice(),
      firstMoment: new Float32Array(2),
      secondMoment: new Float32Array(2),
    }),
    restore: async (state) => {
      parameters = state.parameters.slice();
      gradient = 0;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  return { engine, calls, parameters: () => parameters.slice() };
}

interface Recorded {
  readonly events: RunEvent[];
  readonly best: Float32Array[];
  readonly checkpoints: { state: TrainedState; progress: Progress; path: string }[];
  readonly parameters: Float32Array;
  readonly calls: readonly { step: number; scale: number; draw: number }[];
}

interface RecordOptions
  extends
    FakeOptions,
    Partial<Pick<LoopOptions, "steps" | "patience" | "resume" | "prediction" | "training">> {
  readonly validation?: readonly TrainingBatch[];
  readonly signal?: AbortSignal;
  /** Ends when the checkpoint of that step is durable. */
  readonly written?: (step: number) => Promise<unknown>;
  readonly onEvent?: (event: RunEvent) => void;
}

async function record(options: RecordOptions): Promise<Recorded> {
  const { engine, calls, parameters } = fakeEngine(options);
  const [events, best, checkpoints]: [RunEvent[], Float32Array[], Recorded["checkpoints"]] = [[], [], []];
  const loop = trainingLoop(
    {
      engine,
      training: options.training ?? training,
      validation: options.validation ?? validation,
      steps: options.steps ?? 7,
      learningRate: 0.1,
      weightDecay: 0,
      maxNorm: 1,
      schedule: { kind: "linear", warmupSteps: 2, totalSteps: options.steps ?? 7 },
      evaluateEvery: 2,
      patience: options.patience ?? { patience: 10, minDelta: 0 },
      checkpointEvery: 3,
      trainableParameters: 2,
      totalParameters: 10,
      saveCheckpoint: async (state, progress) => {
        const path = `checkpoint ${progress.step}`;
        checkpoints.push({ state, progress: structuredClone(progress), path });
        return { path, written: options.written?.(progress.step) ?? Promise.resolve() };
      },
      saveBest: async (values) => {
        best.push(values);
      },
      peakBytes: async () => 1,
      ...(options.resume === undefined ? {} : { resume: options.resume }),
      ...(options.prediction === undefined ? {} : { prediction: options.prediction }),
    },
    options.signal,
  );
  for await (const event of loop) {
    events.push(event);
    options.onEvent?.(event);
  }
  return { events, best, checkpoints, parameters: parameters(), calls };
}

const falling = [6, 5, 4, 3, 2, 1, 0.5, 0.25];
const short = (event: RunEvent): string => ("step" in event ? `${event.type} ${event.step}` : event.type);

test("the noise scale is told from the first step of several micro-batches on", async () => {
  const scales = ({ events }: Recorded): (number | undefined)[] =>
    events.flatMap((event) => (event.type === "step" ? [event.noiseScale] : []));
  // Two parts of ‖·‖² 0.3 sum to ‖·‖² 1: |G|² = 2 · 1 − 1.2 and tr Σ = (1.2 − 1) · 2 replies.
  const { events, checkpoints } = await record({ losses: falling, squaredNorm: 0.3 });
  expect(scales({ events } as Recorded).slice(0, 2)).toEqual([undefined, expect.closeTo(0.4 / 0.8, 9)]);
  expect(checkpoints[0]!.progress).toMatchObject({
    step: 3,
    noise: { weight: expect.closeTo(1 - 0.95 ** 2, 9) },
  });
  const alone = { ...training, batch: () => batchOf(0) };
  const one = await record({ losses: falling, training: alone });
  expect(new Set(scales(one))).toEqual(new Set([undefined]));
  expect(one.checkpoints[0]!.progress).not.toHaveProperty("noise");
});

test("the order of events; the last step is evaluated and saved whatever the intervals", async () => {
  const { events, checkpoints } = await record({ losses: falling });
  expect(events.map(short)).toEqual([
    "started",
    "evaluation 0",
    "step 1",
    "step 2",
    "evaluation 2",
    "step 3",
    "checkpoint 3",
    "step 4",
    "evaluation 4",
    "step 5",
    "step 6",
    "evaluation 6",
    "checkpoint 6",
    "step 7",
    "evaluation 7",
    "checkpoint 7",
    "finished 7",
  ]);
  // Two validation batches of 3 replies in all: the sums of losses over the sum of weights.
  expect(events.at(-1)).toMatchObject({
    reason: "completed",
    validationLossBefore: (3 * 6) / 3,
    validationLossBest: (3 * 0.25) / 3,
    bestStep: 7,
  });
  expect(checkpoints.map(({ progress }) => progress.events)).toEqual([6, 12, 15]);
});

test("every micro-batch is divided by the weight of its whole batch, and draws a mask of its own", async () => {
  const { calls, events } = await record({ losses: falling, steps: 4 });
  expect(calls.map(({ step, scale, draw }) => `${step} 1/${1 / scale} ${draw}`)).toEqual([
    "0 1/1 0",
    "1 1/2 1",
    "1 1/2 2",
    "2 1/3 3",
    "2 1/3 4",
    "2 1/3 5",
    "3 1/1 6",
  ]);
  const steps = events.filter((event) => event.type === "step");
  expect(steps.map(({ loss }) => Number(loss.toFixed(9)))).toEqual([2, 1.9, 1.8, 1.7]);
  expect(steps.map(({ learningRate }) => Number(learningRate.toFixed(9)))).toEqual([0, 0.05, 0.1, 0.05]);
  expect(steps.map(({ epoch }) => epoch)).toEqual([0.25, 0.5, 0.75, 1]);
});

describe("early stopping", () => {
  test("stops when patience has run out; the best is kept, not the last", async () => {
    const losses = [5, 5, 3, 3, 4, 4, 3, 3, 9];
    const { events, best } = await record({ losses, steps: 8, patience: { patience: 2, minDelta: 0 } });
    const evaluations = events.filter((event) => event.type === "evaluation");
    expect(evaluations.map((e) => [e.step, e.validationLoss, e.best, e.patienceLeft])).toEqual([
      [0, 5, true, 2],
      [2, 3, true, 2],
      [4, 4, false, 1],
      // Equal is no improvement.
      [6, 3, false, 0],
    ]);
    expect(events.at(-1)).toMatchObject({
      reason: "early-stopped",
      step: 6,
      bestStep: 2,
      validationLossBest: 3,
    });
    expect(best.map(([updates]) => updates)).toEqual([0, 2]);
    expect(events.map(short).slice(-2)).toEqual(["checkpoint 6", "finished 6"]);
  });

  test("an improvement smaller than minDelta does not count", async () => {
    const losses = [5, 0, 4.95, 0, 4.85, 0, 4.84, 0, 4.83];
    const { events, best } = await record({ losses, steps: 8, patience: { patience: 2, minDelta: 0.1 } });
    expect(best.map(([updates]) => updates)).toEqual([0, 4]);
    expect(events.at(-1)).toMatchObject({ reason: "early-stopped", step: 8, bestStep: 4 });
  });

  test("a run that stopped early has nothing to do when it is resumed", async () => {
    const losses = [1, 1, 2, 2, 3, 3, 4];
    const options = { losses, patience: { patience: 1, minDelta: 0 } };
    const first = await record(options);
    expect(first.events.at(-1)).toMatchObject({ reason: "early-stopped", step: 2 });
    const again = await record({ ...options, resume: first.checkpoints.at(-1)! });
    expect(again.events.map(withoutTimes)).toEqual(first.events.slice(-2).map(withoutTimes));
    expect(again.calls).toEqual([]);
  });

  test("without validation data the last adapter is kept, once", async () => {
    const { events, best } = await record({ losses: [], validation: [], steps: 3 });
    expect(events.map(short)).toEqual([
      "started",
      "step 1",
      "step 2",
      "step 3",
      "checkpoint 3",
      "finished 3",
    ]);
    expect(best.map(([updates]) => updates)).toEqual([3]);
  });
});

describe("a prediction", () => {
  const prediction = { stepSeconds: 2, peakBytes: 1000 };
  const kept = { predictedStepSeconds: 2, predictedPeakBytes: 1000 };

  test("is told when the run starts, and beside what came true", async () => {
    const { events } = await record({ losses: falling, prediction });
    expect(events.slice(0, 2).map(short)).toEqual(["started", "prediction"]);
    expect(events.at(-1)).toMatchObject({ type: "finished", peakBytes: 1, ...kept });
    expect(events.at(-1)).toHaveProperty("stepSeconds", expect.any(Number));
  });

  test("is read from the history of a resumed run, whatever would be predicted now", async () => {
    const first = await record({ losses: falling, prediction, steps: 3 });
    const resume = { ...first.checkpoints.at(-1)!, history: first.events };
    const again = await record({ losses: falling, steps: 5, resume, prediction: { peakBytes: 7 } });
    expect(again.events.map(short)).not.toContain("prediction");
    expect(again.events.at(-1)).toMatchObject({ step: 5, ...kept });
  });

  test("is no part of what two runs of one seed have in common", () => {
    expect(withoutTimes({ type: "prediction", ...prediction })).toEqual({ type: "prediction" });
  });
});

describe("interruption", () => {
  const rest = ({ events }: { events: readonly RunEvent[] }) => events.map(withoutTimes);

  test("at every single call of the engine: the resumed run tells the rest and ends with the same numbers", async () => {
    const losses = [6, 5, 4, 3, 5, 4.5, 3.5, 3];
    let total = 0;
    const whole = await record({ losses, onCall: () => (total += 1) });
    expect(total).toBe(whole.calls.length + 5 * 3);
    for (let abortAt = 1; abortAt <= total; abortAt++) {
      const controller = new AbortController();
      let call = 0;
      const onCall = (): void => {
        if (++call === abortAt) controller.abort();
      };
      const first = await record({ losses, onCall, signal: controller.signal });
      expect(first.events.at(-1), `call ${abortAt}`).toMatchObject({ reason: "interrupted" });
      const resume = first.checkpoints.at(-1)!;
      const kept = first.events.slice(0, resume.progress.events);
      // Only the checkpoint's own event and the farewell stand behind what it counts.
      expect(first.events.slice(kept.length).map(({ type }) => type)).toEqual(["checkpoint", "finished"]);
      const second = await record({ losses, resume });
      expect(rest({ events: [...kept, ...second.events] }), `call ${abortAt}`).toEqual(rest(whole));
      expect(second.parameters).toEqual(whole.parameters);
      // The last checkpoint knows of the last evaluation, also when that was the one interrupted.
      const { events: _, ...last } = [...first.checkpoints, ...second.checkpoints].at(-1)!.progress;
      expect(last).toMatchObject({ step: 7, evaluatedAt: 7, best: whole.checkpoints.at(-1)!.progress.best });
      expect([...first.best, ...second.best].at(-1)).toEqual(whole.best.at(-1));
    }
  });

  test("between two steps, and twice in a row", async () => {
    const whole = await record({ losses: falling });
    const aborted = AbortSignal.abort();
    const first = await record({ losses: falling, signal: aborted });
    expect(first.events.map(short)).toEqual(["started", "checkpoint 0", "finished 0"]);
    const second = await record({ losses: falling, resume: first.checkpoints.at(-1)!, signal: aborted });
    // Nothing happened since the last checkpoint: none is written.
    expect(second.events.map(short)).toEqual(["finished 0"]);
    const third = await record({ losses: falling, resume: first.checkpoints.at(-1)! });
    expect(rest(third)).toEqual(rest(whole).slice(1));
  });

  test("an error that is no interruption goes through", async () => {
    const onCall = (): void => {
      throw new Error("the device is gone");
    };
    await expect(record({ losses: falling, onCall })).rejects.toThrow("the device is gone");
  });
});

describe("a run that diverges", () => {
  const failure = async (options: RecordOptions): Promise<string> => {
    const error: unknown = await record(options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  };
  test("says so and what to do", async () => {
    expect(
      await failure({ losses: falling, accumulated: (step) => (step === 3 ? Number.NaN : 1) }),
    ).toMatchInlineSnapshot(
      `"the loss of step 4 is NaN: the run has diverged. Start a new run with a lower learning rate; a third of it is a good start."`,
    );
    expect(await failure({ losses: falling, norm: Number.POSITIVE_INFINITY })).toMatchInlineSnapshot(
      `"the gradient norm of step 1 is Infinity: the run has diverged. Start a new run with a lower learning rate; a third of it is a good start."`,
    );
    expect(await failure({ losses: [1, 1, Number.NaN] })).toMatchInlineSnapshot(
      `"the validation loss after step 2 is NaN: the run has diverged. Start a new run with a lower learning rate; a third of it is a good start."`,
    );
  });
});

describe("a checkpoint is written beside the steps", () => {
  test("which go on until the next one, and the end waits too", async () => {
    const told: string[] = [];
    const writes: (() => void)[] = [];
    const written = (step: number) =>
      new Promise<void>((resolve) => {
        told.push(`writing ${step}`);
        writes.push(() => {
          told.push(`written ${step}`);
          resolve();
        });
      });
    const onEvent = (event: RunEvent): void => {
      told.push(short(event));
      // The first write ends only when the loop has nothing else to do.
      if (
        short(event) === "evaluation 6" ||
        short(event) === "checkpoint 6" ||
        short(event) === "checkpoint 7"
      )
        setTimeout(() => writes.shift()!());
    };
    await record({ losses: falling, written, onEvent });
    const from = told.indexOf("writing 3");
    expect(told.slice(from)).toEqual([
      "writing 3",
      "checkpoint 3",
      "step 4",
      "evaluation 4",
      "step 5",
      "step 6",
      "evaluation 6",
      "written 3",
      "writing 6",
      "checkpoint 6",
      "step 7",
      "evaluation 7",
      "written 6",
      "writing 7",
      "checkpoint 7",
      "written 7",
      "finished 7",
    ]);
  });

  test("one that fails ends the run with its own error: at the next step, or in the end", async () => {
    const full = new UserError("the disk is full");
    const failing = (bad: number) => (step: number) =>
      step === bad ? Promise.reject(full) : Promise.resolve();
    const events: string[] = [];
    const onEvent = (event: RunEvent): void => void events.push(short(event));
    await expect(record({ losses: falling, written: failing(3), onEvent })).rejects.toBe(full);
    expect(events.at(-1)).toBe("checkpoint 3");
    await expect(record({ losses: falling, written: failing(7) })).rejects.toBe(full);
  });

  test("a run that fails otherwise ends after the write has", async () => {
    let done = false;
    const written = () =>
      new Promise<void>((resolve) => {
        setTimeout(() => {
          done = true;
          resolve();
        }, 20);
      });
    const accumulated = (step: number): number => (step === 4 ? Number.NaN : 1);
    await expect(record({ losses: falling, written, accumulated })).rejects.toThrow(/diverged/);
    expect(done).toBe(true);
  });
});
