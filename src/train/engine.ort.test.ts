/** The engine on onnxruntime: PyTorch's five steps, micro-batches, dropout by seed, state in and out. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { adamWDefaults } from "../compute/optim/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { type ResidentModel, loadResidentModel } from "../model/decoder/index.ts";
import { parameterLayout } from "../model/nn/index.ts";
import { type EngineOptions, type TrainingEngine, loraParameters, trainingEngine } from "./engine.ts";
import { adapter, file, golden, initialOf, layers, row, spec, store } from "./golden-llama.testing.ts";
import { inEachLane } from "./in-each-lane.ts";
import { initialAdapter } from "./initialise.ts";
import { tinyEngineOptions, tinyResident, tinySequences } from "./tiny-run.testing.ts";

let runtime: Runtime;
let tiny: ResidentModel;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 2 });
  tiny = await tinyResident(runtime);
});
afterAll(() => runtime[Symbol.asyncDispose]());

function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  const size = Math.max(...Array.from(want, Math.abs));
  return Math.max(...Array.from(want, (value, i) => Math.abs(got[i]! - value))) / size;
}

describe("five steps on a tiny Llama 3.1, as PyTorch + PEFT take them", () => {
  interface Steps {
    readonly names: readonly string[];
    readonly rates: readonly number[];
    readonly weightDecay: number;
    readonly maxNorm: number;
    readonly batches: readonly (readonly number[])[];
    readonly losses: readonly number[];
    readonly norms: readonly number[];
    readonly parameters: string;
    readonly firstMoment: string;
    readonly secondMoment: string;
    readonly validationLoss: number;
  }
  const unpack = (text: string): Float32Array =>
    new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer);
  const want = golden<Steps>("train/steps.json");

  async function engineOf(): Promise<TrainingEngine> {
    const model = await loadResidentModel(runtime, spec, store);
    const layout = parameterLayout(loraParameters(layers, file.rank));
    expect(layout.entries.map(({ name }) => name)).toEqual(want.names);
    return trainingEngine(model, initialOf(layout), {
      ...tinyEngineOptions(),
      layout,
      adapter,
      dropout: 0,
      optimizer: adamWDefaults,
    });
  }

  test.each([
    ["whole batches", false],
    ["one row a micro-batch", true],
  ])("%s: losses, norms, parameters, both moments", async (_, split) => {
    await using engine = await engineOf();
    const weightOf = (i: number): number => file.weights[i]!.reduce((a, b) => a + b);
    for (const [step, batch] of want.batches.entries()) {
      const weight = batch.reduce((sum, i) => sum + weightOf(i), 0);
      const micro = split ? batch.map((i) => [row(i)]) : [batch.map(row)];
      let loss = 0;
      for (const sequences of micro) loss += await engine.accumulate(sequences, 1 / weight, 0);
      const norm = await engine.update({
        learningRate: want.rates[step]!,
        weightDecay: want.weightDecay,
        maxNorm: want.maxNorm,
        update: step + 1,
      });
      expect(Math.abs(loss / want.losses[step]! - 1), `loss ${step}`).toBeLessThan(1e-5);
      expect(Math.abs(norm / want.norms[step]! - 1), `norm ${step}`).toBeLessThan(1e-4);
    }
    const state = await engine.state();
    for (const name of ["parameters", "firstMoment", "secondMoment"] as const) {
      expect(relativeError(state[name], unpack(want[name])), name).toBeLessThan(1e-4);
    }
    const validation = (await engine.loss([0, 1, 2].map(row))) / (weightOf(0) + weightOf(1) + weightOf(2));
    expect(Math.abs(validation / want.validationLoss - 1)).toBeLessThan(1e-5);
  });
});

describe("the tiny engine", () => {
  const sequences = tinySequences(6, 1);
  const make = (changes: Partial<EngineOptions> = {}): Promise<TrainingEngine> => {
    const options = tinyEngineOptions(changes);
    const initial = initialAdapter(options.layout, options.seed).map((x, i) => x + 0.1 * Math.sin(i));
    return trainingEngine(tiny, initial, options);
  };
  const gradientOf = async (engine: TrainingEngine, draw: number): Promise<Float32Array> => {
    await engine.accumulate(sequences, 1, draw);
    const gradient = await engine.gradient();
    await engine.update({ learningRate: 0, weightDecay: 0, maxNorm: 1, update: 1 });
    return gradient;
  };

  test("accumulates until the update, which clears", async () => {
    await using engine = await make({ dropout: 0 });
    expect(Math.max(...(await engine.gradient()))).toBe(0);
    const once = await gradientOf(engine, 0);
    expect(Math.max(...once.map(Math.abs))).toBeGreaterThan(0);
    expect(Math.max(...(await engine.gradient()))).toBe(0);
    await engine.accumulate(sequences.slice(0, 2), 0.5, 0);
    await engine.accumulate(sequences.slice(2), 0.5, 0);
    expect(
      relativeError(
        (await engine.gradient()).map((x) => 2 * x),
        once,
      ),
    ).toBeLessThan(1e-5);
  });

  test("the squared norm is that of the last micro-batch's part", async () => {
    await using engine = await make({ dropout: 0 });
    const square = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
    await engine.accumulate(sequences.slice(0, 2), 0.5, 0);
    const first = await engine.gradient();
    expect(Math.abs(engine.squaredNorm() / square(first) - 1)).toBeLessThan(1e-5);
    await engine.accumulate(sequences.slice(2), 0.5, 0);
    const part = (await engine.gradient()).map((value, i) => value - first[i]!);
    expect(Math.abs(engine.squaredNorm() / square(part) - 1)).toBeLessThan(1e-4);
  });

  test("lanes add up what one lane would, the same way each time, and update once", async () => {
    const update = { learningRate: 0.01, weightDecay: 0.1, maxNorm: 1, update: 1 };
    const parts = sequences.map((sequence) => [sequence]);
    const step = async (lanes: number) => {
      await using engine = await make({ lanes });
      const norms = await inEachLane(engine, parts, async (part, index, lane) => {
        const loss = await engine.accumulate(part, 0.5, index, { lane });
        return [loss, engine.squaredNorm(lane)] as const;
      });
      const gradient = await engine.gradient();
      const norm = await engine.update(update);
      expect(Math.max(...(await engine.gradient()))).toBe(0);
      const measured = await inEachLane(engine, parts, (part, _, lane) => engine.loss(part, { lane }));
      return { norms, gradient, norm, measured, trained: await engine.trained() };
    };
    const [one, two, again] = [await step(1), await step(2), await step(2)];
    expect(again).toEqual(two);
    expect(two.norms).toEqual(one.norms);
    expect(relativeError(two.gradient, one.gradient)).toBeLessThan(1e-6);
    expect(Math.abs(two.norm / one.norm - 1)).toBeLessThan(1e-6);
    expect(relativeError(Float32Array.from(two.measured), Float32Array.from(one.measured))).toBeLessThan(
      1e-5,
    );
    expect(parts.length).toBeGreaterThan(2);
  });

  test("dropout: the seed and the draw decide, bit for bit; evaluation drops nothing", async () => {
    await using one = await make();
    await using same = await make();
    await using other = await make({ seed: 2 });
    const first = await gradientOf(one, 7);
    expect(await gradientOf(same, 7)).toEqual(first);
    expect(relativeError(await gradientOf(same, 8), first)).toBeGreaterThan(0.01);
    // The same initial values, another seed for the masks.
    const state = await one.state();
    await other.restore(state);
    expect(relativeError(await gradientOf(other, 7), first)).toBeGreaterThan(0.01);
    await using without = await make({ dropout: 0 });
    expect(await one.loss(sequences)).toBe(await without.loss(sequences));
  });

  test("state goes out and comes back into another engine; a partial gradient is dropped", async () => {
    const update = { learningRate: 0.01, weightDecay: 0.1, maxNorm: 1 };
    await using one = await make();
    await using two = await make();
    await one.accumulate(sequences, 1, 0);
    await one.update({ ...update, update: 1 });
    const state = await one.state();
    await two.accumulate(sequences, 1, 5);
    await two.restore(state);
    expect(Math.max(...(await two.gradient()))).toBe(0);
    for (const engine of [one, two]) {
      await engine.accumulate(sequences, 1, 1);
      await engine.update({ ...update, update: 2 });
    }
    expect(await two.state()).toEqual(await one.state());
    expect((await one.state()).parameters).not.toEqual(state.parameters);
  });

  test("a cancelled micro-batch leaves the engine usable", async () => {
    await using engine = await make({ dropout: 0 });
    const want = await gradientOf(engine, 0);
    await expect(engine.accumulate(sequences, 1, 0, { signal: AbortSignal.abort() })).rejects.toThrow(
      "cancelled",
    );
    expect(await gradientOf(engine, 0)).toEqual(want);
  });
});
