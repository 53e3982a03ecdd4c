/** Troubles of real training on a tiny model, recognised while it runs: a rate that is too high, one that does nothing, a dead layer. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { type ResidentModel, expectedWeights } from "../model/decoder/index.ts";
import { type ParameterLayout, parameterLayout, parameterViews } from "../model/nn/index.ts";
import { UserError, random } from "../util/index.ts";
import { batchSource, validationBatches } from "./batches.ts";
import { type EngineOptions, trainingEngine } from "./engine.ts";
import type { RunEvent } from "./events.ts";
import { initialAdapter } from "./initialise.ts";
import { trainingLoop } from "./loop.ts";
import { tinyEngineOptions, tinyResident, tinySequences, tinySpec } from "./tiny-run.testing.ts";

let runtime: Runtime;
let model: ResidentModel;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  model = await tinyResident(runtime);
});
afterAll(() => runtime[Symbol.asyncDispose]());

interface Trouble {
  readonly learningRate: number;
  readonly steps?: number;
  readonly validation?: boolean;
  /** Whether every weight is trained, rather than an adapter that a small model's attention bears at any rate. */
  readonly whole?: boolean;
  /** Spoils the first values. */
  readonly spoil?: (views: Map<string, Float32Array>) => void;
}

function everyWeight(): EngineOptions {
  const { adapter: _, ...options } = tinyEngineOptions({ dropout: 0 });
  return { ...options, layout: parameterLayout(expectedWeights(tinySpec)) };
}

function smallWeights(layout: ParameterLayout): Float32Array {
  const dice = random(2, "small weights");
  const flat = new Float32Array(layout.size);
  for (const [name, view] of parameterViews(layout, flat))
    for (let i = 0; i < view.length; i++) view[i] = name.includes("norm") ? 1 : dice.normal() / 10;
  return flat;
}

/** The codes of the warnings, and how the run ended: completed, or the message of its error. */
async function warnings({
  learningRate,
  steps = 40,
  validation = true,
  whole = false,
  spoil,
}: Trouble): Promise<string[]> {
  const options = whole ? everyWeight() : tinyEngineOptions({ dropout: 0 });
  const initial = whole ? smallWeights(options.layout) : initialAdapter(options.layout, 1);
  spoil?.(parameterViews(options.layout, initial));
  await using engine = await trainingEngine(model, initial, options);
  const micro = { tokens: 200, share: true };
  const loop = trainingLoop({
    engine,
    training: batchSource(tinySequences(40, 1), { batch: 8, micro, seed: 1 }),
    validation: validation ? validationBatches(tinySequences(8, 2), micro) : [],
    steps,
    learningRate,
    weightDecay: 0,
    maxNorm: 1,
    schedule: { kind: "constant", warmupSteps: 0, totalSteps: steps },
    evaluateEvery: 10,
    patience: { patience: 100, minDelta: 0 },
    checkpointEvery: 1000,
    trainableParameters: options.layout.size,
    totalParameters: 0,
    saveCheckpoint: async () => ({ path: "", written: Promise.resolve() }),
    saveBest: async () => {},
    peakBytes: async () => 1,
    layout: options.layout,
  });
  const codes: string[] = [];
  const note = (event: RunEvent): void => {
    if (event.type === "warning") codes.push(event.code);
    if (event.type === "finished") codes.push(event.reason);
  };
  try {
    for await (const event of loop) note(event);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    codes.push(error.message);
  }
  return codes;
}

test("an ordinary run is left in peace", async () => {
  expect(await warnings({ learningRate: 0.02 })).toEqual(["completed"]);
});

test("a learning rate that is far too high", async () => {
  expect(await warnings({ learningRate: 5, whole: true })).toContain("loss-rising");
});

test("a learning rate that does nothing, with and without evaluations", async () => {
  expect(await warnings({ learningRate: 1e-9 })).toEqual(["nothing-learned", "completed"]);
  expect(await warnings({ learningRate: 1e-9, steps: 200, validation: false })).toContain("nothing-learned");
});

test("values that are not numbers end the run with what to do", async () => {
  const spoil = (views: Map<string, Float32Array>): void => {
    views.get("model.layers.0.self_attn.q_proj.lora_A.weight")![0] = Number.NaN;
  };
  const codes = await warnings({ learningRate: 0.01, spoil, validation: false });
  expect(codes).toEqual([
    expect.stringMatching(/^the loss of step 1 is NaN: the run has diverged\. Start a new run/),
  ]);
});

test("a layer that gets no gradient", async () => {
  const spoil = (views: Map<string, Float32Array>): void => {
    // A and B of one layer zero: neither has a gradient.
    for (const name of ["lora_A", "lora_B"])
      views.get(`model.layers.0.self_attn.v_proj.${name}.weight`)!.fill(0);
  };
  expect(await warnings({ learningRate: 0.01, spoil })).toContain("dead-layer");
});
