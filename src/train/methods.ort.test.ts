/** Methods beside plain LoRA, step for step as PyTorch and PEFT take them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniform } from "../../test/fixtures/formula-weights.ts";
import { adamWDefaults, scheduleFactor } from "../compute/optim/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { float32, scalar, zeros } from "../compute/tensor/index.ts";
import {
  type ResidentModel,
  type Sequence,
  expectedWeights,
  flatBatch,
  loadResidentModel,
  lossGraph,
} from "../model/decoder/index.ts";
import { parameterLayout, parameterViews } from "../model/nn/index.ts";
import { loraScale } from "../model/weights/index.ts";
import { matricesAlone } from "./decay.ts";
import { type EngineOptions, loraParameters, trainingEngine } from "./engine.ts";
import { loraPlusFactors } from "./lora-plus.ts";
import { embeddingNoise } from "./neftune.ts";
import { adapter, file, golden, initialOf, layers, row, spec, store } from "./golden-llama.testing.ts";

interface Method {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  /** Little-endian float32 in base64. */
  readonly parameters?: string;
  readonly parameterNorms?: Readonly<Record<string, number>>;
}
interface Golden extends Record<"rslora" | "loraplus" | "neftune" | "full" | "pretrain", Method> {
  readonly rate: number;
  readonly weightDecay: number;
  readonly maxNorm: number;
  readonly ratio: number;
  readonly alpha: number;
  readonly batches: readonly (readonly number[])[];
}
const want = golden<Golden>("train/methods.json");
const loraLayout = parameterLayout(loraParameters(layers, file.rank));

let runtime: Runtime;
let model: ResidentModel;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  model = await loadResidentModel(runtime, spec, store);
});
afterAll(() => runtime[Symbol.asyncDispose]());

/** Every token but a row's first as a target, instead of the row's own. */
const everyToken = (i: number): Sequence => ({
  ids: file.rows[i]!,
  weights: file.rows[i]!.map((_, at) => (at === 0 ? 0 : 1)),
});

/**
 * Runs the golden batches and compares loss and norm of every step; returns the parameters after them. `rates` are
 * factors of the learning rate.
 */
async function follow(
  method: Method,
  changes: Partial<EngineOptions>,
  { sequence = row, rates }: { sequence?: (i: number) => Sequence; rates?: readonly number[] } = {},
): Promise<Float32Array> {
  const layout = changes.layout ?? loraLayout;
  await using engine = await trainingEngine(model, initialOf(layout), {
    layout,
    dropout: 0,
    seed: 1,
    optimizer: adamWDefaults,
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
    ...changes,
  });
  for (const [step, batch] of want.batches.entries()) {
    const sequences = batch.map(sequence);
    const weight = sequences.reduce(
      (sum, { weights }) => sum + Array.from(weights).reduce((a, b) => a + b),
      0,
    );
    const loss = await engine.accumulate(sequences, 1 / weight, step);
    const norm = await engine.update({
      learningRate: want.rate * (rates?.[step] ?? 1),
      weightDecay: want.weightDecay,
      maxNorm: want.maxNorm,
      update: step + 1,
    });
    expect(Math.abs(loss / method.losses[step]! - 1), `loss ${step}`).toBeLessThan(1e-5);
    expect(Math.abs(norm / method.norms[step]! - 1), `norm ${step}`).toBeLessThan(1e-4);
  }
  return (await engine.state()).parameters;
}

function expectParameters(got: Float32Array, method: Method): void {
  const expected = new Float32Array(Uint8Array.from(Buffer.from(method.parameters!, "base64")).buffer);
  expect(got.length).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const error = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i]!)), 0);
  expect(error / largest).toBeLessThan(1e-4);
}

const scaled = (scale: number): typeof adapter => ({ ...adapter, scale });

test("rank-stabilised LoRA is scaled by alpha / √rank", async () => {
  const scale = loraScale(file.alpha, file.rank, true);
  expectParameters(await follow(want.rslora, { adapter: scaled(scale) }), want.rslora);
});

test("LoRA+: B learns faster, and its weight decay with it, as PEFT's optimiser groups do", async () => {
  const rateFactors = loraPlusFactors(loraLayout.entries, loraLayout.size, want.ratio);
  const parameters = await follow(want.loraplus, { adapter: scaled(file.alpha / file.rank), rateFactors });
  expectParameters(parameters, want.loraplus);
});

const wholeLayout = parameterLayout(expectedWeights(spec));

function expectNorms(parameters: Float32Array, { parameterNorms }: Method): void {
  const views = parameterViews(wholeLayout, parameters);
  expect(Object.keys(parameterNorms!).sort()).toEqual([...views.keys()].sort());
  for (const [name, norm] of Object.entries(parameterNorms!)) {
    const got = Math.sqrt(views.get(name)!.reduce((sum, value) => sum + value * value, 0));
    expect(Math.abs(got / norm - 1), name).toBeLessThan(1e-5);
  }
}

test("full fine-tuning: every weight is trained", async () => {
  expectNorms(await follow(want.full, { layout: wholeLayout }), want.full);
});

test("pre-training: every token a target, norms not decayed, warm-up, stable and decay", async () => {
  const changes = {
    layout: wholeLayout,
    decayed: matricesAlone(wholeLayout.entries, wholeLayout.size),
    optimizer: { ...adamWDefaults, beta2: 0.95 },
  };
  const schedule = { kind: "wsd", warmupSteps: 1, totalSteps: 4, decaySteps: 2 } as const;
  const rates = want.batches.map((_, step) => scheduleFactor(schedule, step));
  expectNorms(await follow(want.pretrain, changes, { sequence: everyToken, rates }), want.pretrain);
});

describe("NEFTune", () => {
  test("the loss and gradient with given noise on the embeddings", async () => {
    const graph = lossGraph(spec, {
      layout: loraLayout,
      adapter: scaled(file.alpha / file.rank),
      embeddingNoise: true,
      gradients: true,
      queryChunks: 1,
      lossChunks: 1,
      recompute: "none",
    });
    await using program = await runtime.compile(graph);
    const sequences = want.batches[0]!.map(row);
    const whole = { queryChunks: 1, lossChunks: 1, share: false };
    const { feeds, tokens, longest } = flatBatch(sequences, spec, whole);
    const noise = want.batches[0]!.flatMap((i) => {
      const size = file.rows[i]!.length * spec.hiddenSize;
      return Array.from(uniform(`noise 0 ${i}`, size), (u) => (u * want.alpha) / Math.sqrt(size));
    });
    const { outputs } = await program.run({
      ...(await model.feeds(program.inputs, longest)),
      ...feeds,
      parameters: float32([loraLayout.size], initialOf(loraLayout)),
      gradientSum: zeros("float32", [loraLayout.size]),
      lossScale: scalar(
        1 / want.batches[0]!.reduce((sum, i) => sum + file.weights[i]!.reduce((a, b) => a + b), 0),
      ),
      embeddingNoise: float32([tokens, spec.hiddenSize], noise),
    });
    const loss = (outputs["loss"]!.data as Float32Array)[0]!;
    const norm = Math.hypot(...(outputs["gradient"]!.data as Float32Array));
    expect(Math.abs(loss / want.neftune.losses[0]! - 1)).toBeLessThan(1e-5);
    expect(Math.abs(norm / want.neftune.norms[0]! - 1)).toBeLessThan(1e-4);
  });

  test("noise is uniform within alpha / √(L·D) of its own sequence, repeats by draw, and differs between draws", () => {
    const lengths = [400, 25];
    const { data, shape } = embeddingNoise(3, 5, 64).noise(7, lengths);
    expect(shape).toEqual([425, 64]);
    for (const [length, part] of [
      [400, data.subarray(0, 400 * 64)],
      [25, data.subarray(400 * 64)],
    ] as const) {
      const bound = 5 / Math.sqrt(length * 64);
      const squares = part.reduce((sum, x) => sum + x * x, 0) / part.length;
      expect(Math.max(...part)).toBeLessThanOrEqual(bound);
      expect(Math.max(...part)).toBeGreaterThan(0.99 * bound);
      expect(Math.sqrt(squares)).toBeCloseTo(bound / Math.sqrt(3), 2);
    }
    expect(embeddingNoise(3, 5, 64).noise(7, lengths).data).toEqual(data);
    expect(embeddingNoise(3, 5, 64).noise(8, lengths).data).not.toEqual(data);
    expect(embeddingNoise(4, 5, 64).noise(7, lengths).data).not.toEqual(data);
  });

  test("noise moves the training loss and leaves the validation loss alone", async () => {
    const options = {
      layout: loraLayout,
      adapter: scaled(1),
      dropout: 0,
      seed: 1,
      optimizer: adamWDefaults,
      queryChunks: 1,
      lossChunks: 1,
      recompute: "none",
    } as const;
    await using plain = await trainingEngine(model, initialOf(loraLayout), options);
    await using noisy = await trainingEngine(model, initialOf(loraLayout), { ...options, neftune: 20 });
    const batch = [row(0), row(1)];
    expect(await noisy.loss(batch)).toBe(await plain.loss(batch));
    const [without, first] = [await plain.accumulate(batch, 1, 0), await noisy.accumulate(batch, 1, 0)];
    expect(first).not.toBe(without);
    expect(await noisy.accumulate(batch, 1, 1)).not.toBe(first);
    expect(await noisy.accumulate(batch, 1, 0)).toBe(first);
  });
});
