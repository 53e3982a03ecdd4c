/** What PEFT and transformers offer beside plain LoRA, step for step as they compute it on a tiny Llama. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formulaTensor } from "../../test/fixtures/formula-weights.ts";
import { adamWDefaults } from "../compute/optim/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import {
  type ModelSpec,
  type ResidentModel,
  type Sequence,
  expectedWeights,
  residentModel,
  loadResidentModel,
  specFromConfig,
  withSlidingWindow,
} from "../model/decoder/index.ts";
import { type ParameterLayout, parameterLayout, parameterViews } from "../model/nn/index.ts";
import { memoryWeights } from "../model/weights/index.ts";
import { adaptedLayers } from "./adapted-layers.ts";
import { type EngineOptions, loraParameters, trainingEngine } from "./engine.ts";

type ByName = Readonly<Record<string, string>>;
interface Method {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  /** Little-endian float32 in base64, by name. */
  readonly parameters: ByName;
}
interface Golden extends Record<"dora" | "modules" | "window", Method> {
  readonly rate: number;
  readonly weightDecay: number;
  readonly maxNorm: number;
  readonly slidingWindow: number;
  readonly batches: readonly (readonly number[])[];
}
const golden = <T>(path: string): T =>
  JSON.parse(readFileSync(new URL(`../../test/golden/${path}`, import.meta.url), "utf8")) as T;
const want = golden<Golden>("train/adapted.json");
const file = golden<{ config: unknown; rank: number; alpha: number; rows: number[][]; weights: number[][] }>(
  "parity/llama3.1.json",
);
const spec = specFromConfig(file.config);
const layers = adaptedLayers(spec, ["q_proj", "v_proj"]);
const adapted = new Set(layers.map(({ path }) => path));
const row = (i: number): Sequence => ({ ids: file.rows[i]!, weights: file.weights[i]! });
const weightOf = (batch: readonly number[]): number =>
  batch.reduce((sum, i) => sum + file.weights[i]!.reduce((a, b) => a + b), 0);

let runtime: Runtime;
let model: ResidentModel;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  const weights = expectedWeights(spec).map(({ name, shape }) => [name, formulaTensor(name, shape)] as const);
  model = await loadResidentModel(runtime, spec, memoryWeights(weights));
});
afterAll(() => runtime[Symbol.asyncDispose]());

const options = (layout: ParameterLayout): EngineOptions => ({
  layout,
  adapter: { rank: file.rank, scale: file.alpha / file.rank, adapts: (path) => adapted.has(path) },
  dropout: 0,
  seed: 1,
  optimizer: adamWDefaults,
  queryChunks: 1,
  lossChunks: 1,
  recompute: "none",
});

function initialOf(layout: ParameterLayout): Float32Array {
  const initial = new Float32Array(layout.size);
  for (const { name, shape, offset } of layout.entries) initial.set(formulaTensor(name, shape).data, offset);
  return initial;
}

/** Runs the golden batches; losses, norms and the parameters after them are those of PEFT. */
async function expectFollows(
  method: Method,
  {
    layout,
    spec: other = spec,
    ...changes
  }: Partial<EngineOptions> & { layout: ParameterLayout; spec?: ModelSpec },
  initial = initialOf(layout),
): Promise<void> {
  await using engine = await trainingEngine(residentModel(runtime, other, model.weights), initial, {
    ...options(layout),
    ...changes,
  });
  for (const [step, batch] of want.batches.entries()) {
    const loss = await engine.accumulate(batch.map(row), 1 / weightOf(batch), step);
    const norm = await engine.update({
      learningRate: want.rate,
      weightDecay: want.weightDecay,
      maxNorm: want.maxNorm,
      update: step + 1,
    });
    expect(Math.abs(loss / method.losses[step]! - 1), `loss ${step}`).toBeLessThan(1e-5);
    expect(Math.abs(norm / method.norms[step]! - 1), `norm ${step}`).toBeLessThan(1e-4);
  }
  expectVectors(parameterViews(layout, (await engine.state()).parameters), method.parameters);
}

function expectVectors(got: ReadonlyMap<string, Float32Array>, wanted: ByName): void {
  expect([...got.keys()].sort()).toEqual(Object.keys(wanted).sort());
  for (const [name, encoded] of Object.entries(wanted)) {
    const expected = new Float32Array(Uint8Array.from(Buffer.from(encoded, "base64")).buffer);
    const values = got.get(name)!;
    expect(values.length, name).toBe(expected.length);
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const error = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
    expect(error / largest, name).toBeLessThan(1e-4);
  }
}

/** ‖W‖ of the rows of a weight [O, I], as PEFT starts a magnitude. */
function rowNormsOf(name: string, [outWidth, inWidth]: readonly [number, number]): Float32Array {
  const { data } = formulaTensor(`${name}.weight`, [outWidth, inWidth]);
  return Float32Array.from({ length: outWidth }, (_, o) =>
    Math.hypot(...data.subarray(o * inWidth, (o + 1) * inWidth)),
  );
}

const doraLayout = parameterLayout(loraParameters(layers, file.rank, true));
function initialDora(): Float32Array {
  const initial = initialOf(doraLayout);
  const views = parameterViews(doraLayout, initial);
  for (const { path, shape } of layers)
    views.get(`${path}.lora_magnitude_vector`)!.set(rowNormsOf(path, shape));
  return initial;
}

describe("DoRA", () => {
  test("learns magnitudes and directions as PEFT's use_dora does", async () => {
    const { adapter } = options(doraLayout);
    const changes = { layout: doraLayout, adapter: { ...adapter!, dora: true } };
    await expectFollows(want.dora, changes, initialDora());
    await expectFollows(want.dora, { ...changes, recompute: "blocks" }, initialDora());
  });
});

describe("a sliding window", () => {
  test("trains as transformers' Mistral with that window does", async () => {
    const layout = parameterLayout(loraParameters(layers, file.rank));
    await expectFollows(want.window, { layout, spec: withSlidingWindow(spec, want.slidingWindow) });
  });
});
