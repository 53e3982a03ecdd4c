/** The loop on an engine that only counts: events, early stopping, the best kept, and interruption at every point. */
import { describe, expect, test } from "vitest";
import { UserError } from "../util/index.ts";
import { type RunEvent, withoutTimes } from "./events.ts";
import {
  batchOf,
  falling,
  record,
  type Recorded,
  type RecordOptions,
  short,
  training,
} from "./loop.testing.ts";

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

  test("a resumed run ends with the rate, the peak and the time of the whole run", async () => {
    const first = await record({ losses: falling, steps: 3 });
    const history = first.events.map((event) =>
      event.type === "step" ? { ...event, seconds: 100, tokens: 500, peakBytes: 5 } : event,
    );
    const resume = { ...first.checkpoints.at(-1)!, history };
    const ended = (await record({ losses: falling, steps: 3, resume })).events.at(-1)!;
    expect(ended).toMatchObject({
      type: "finished",
      step: 3,
      tokensPerSecond: 5,
      stepSeconds: 100,
      peakBytes: 5,
    });
    expect((ended as { readonly seconds: number }).seconds).toBeGreaterThanOrEqual(300);
    const longer = (await record({ losses: falling, steps: 5, resume })).events.at(-1)!;
    const { stepSeconds } = longer as { readonly stepSeconds: number };
    expect(stepSeconds).toBeGreaterThanOrEqual(60);
    expect(stepSeconds).toBeLessThan(100);
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
  const prediction = { peakBytes: 1000, stepSeconds: 2, totalSeconds: 10 };
  const kept = { predictedPeakBytes: 1000, predictedStepSeconds: 2 };

  test("is told when the run starts, and beside what came true", async () => {
    const { events } = await record({ losses: falling, prediction });
    expect(events.slice(0, 2).map(short)).toEqual(["started", "prediction"]);
    expect(events.at(-1)).toMatchObject({
      type: "finished",
      peakBytes: 1,
      ...kept,
      predictedSeconds: 10,
    });
    expect(events.at(-1)).toHaveProperty("stepSeconds", expect.any(Number));
  });

  test("is read from the history of a resumed run, whatever would be predicted now", async () => {
    const first = await record({ losses: falling, prediction, steps: 3 });
    const resume = { ...first.checkpoints.at(-1)!, history: first.events };
    const again = await record({ losses: falling, steps: 5, resume, prediction: { peakBytes: 7 } });
    expect(again.events.map(short)).not.toContain("prediction");
    expect(again.events.at(-1)).toMatchObject({ step: 5, ...kept });
    // The whole run's is not for the part after it was resumed.
    expect(again.events.at(-1)).not.toHaveProperty("predictedSeconds");
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
