/** Whole runs of a tiny model: one seed gives one run, and an interrupted one goes on bit for bit from its files. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import type { ResidentModel } from "../model/decoder/index.ts";
import { batchSource, validationBatches } from "./batches.ts";
import { checkpointPath, latestCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { type TrainedState, trainingEngine } from "./engine.ts";
import { type RunEvent, withoutTimes } from "./events.ts";
import { initialAdapter } from "./initialise.ts";
import { trainingLoop } from "./loop.ts";
import { tinyEngineOptions, tinyResident, tinySequences } from "./tiny-run.testing.ts";

let runtime: Runtime;
let model: ResidentModel;
let folder: string;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  model = await tinyResident(runtime);
  folder = await mkdtemp(join(tmpdir(), "attune-run-"));
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Run {
  readonly events: readonly RunEvent[];
  readonly state: TrainedState;
  readonly best: Float32Array;
}

/** A run of 9 steps in `name`; it resumes where there is a checkpoint, and `abortOn` interrupts it. */
async function run(name: string, seed: number, abortOn?: (event: RunEvent) => boolean): Promise<Run> {
  const options = tinyEngineOptions({ seed });
  await using engine = await trainingEngine(model, initialAdapter(options.layout, seed), options);
  const path = join(folder, name);
  const resume = await latestCheckpoint(path, (message) => expect.fail(message));
  const controller = new AbortController();
  let best = new Float32Array();
  const loop = trainingLoop(
    {
      engine,
      training: batchSource(tinySequences(20, 1), { batch: 5, micro: { tokens: 20, share: true }, seed }),
      validation: validationBatches(tinySequences(8, 2), { tokens: 40, share: true }),
      steps: 9,
      learningRate: 0.02,
      weightDecay: 0.01,
      maxNorm: 1,
      schedule: { kind: "cosine", warmupSteps: 2, totalSteps: 9 },
      evaluateEvery: 3,
      patience: { patience: 3, minDelta: 0 },
      checkpointEvery: 4,
      trainableParameters: options.layout.size,
      totalParameters: 0,
      saveCheckpoint: async (state, progress) => ({
        path: checkpointPath(path, progress.step),
        written: saveCheckpoint(path, state, progress, "fingerprint"),
      }),
      saveBest: async (parameters) => {
        best = Float32Array.from(parameters);
      },
      peakBytes: async () => (await runtime.memory()).peakBytes,
      ...(resume === undefined ? {} : { resume }),
    },
    controller.signal,
  );
  const events: RunEvent[] = [];
  for await (const event of loop) {
    events.push(event);
    if (abortOn?.(event) === true) controller.abort();
  }
  return { events, state: await engine.state(), best };
}

test("one seed, one run; another seed, another; the loss falls", async () => {
  const first = await run("first", 1);
  const second = await run("second", 1);
  expect(second.events.map(withoutTimes)).toEqual(first.events.map(withoutTimes));
  expect(second.state).toEqual(first.state);
  const other = await run("other", 2);
  expect(other.state.parameters).not.toEqual(first.state.parameters);
  const end = first.events.at(-1)!;
  expect(end).toMatchObject({ type: "finished", reason: "completed", step: 9 });
  if (end.type === "finished") expect(end.validationLossBest).toBeLessThan(end.validationLossBefore - 0.01);
});

test.each([3, 4, 5])(
  "interrupted after step %i, resumed from the file: the same run, bit for bit",
  async (at) => {
    const whole = await run(`whole ${at}`, 5);
    const name = `cut ${at}`;
    const cut = await run(name, 5, (event) => event.type === "step" && event.step === at);
    expect(cut.events.at(-1)).toMatchObject({ type: "finished", reason: "interrupted", step: at });
    const { progress } = (await latestCheckpoint(join(folder, name), (message) => expect.fail(message)))!;
    const resumed = await run(name, 5);
    const told = [...cut.events.slice(0, progress.events), ...resumed.events];
    const rest = (events: readonly RunEvent[]) => events.map(withoutTimes);
    expect(rest(told)).toEqual(rest(whole.events));
    expect(resumed.state).toEqual(whole.state);
    expect(resumed.best.length === 0 ? cut.best : resumed.best).toEqual(whole.best);
  },
);
