/** Mixed precision beside torch.autocast, loss scaling beside torch's GradScaler, and activations kept in half precision. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniform } from "../../test/fixtures/formula-weights.ts";
import { adamWDefaults, adamWGraph } from "../compute/optim/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { float32, scalar } from "../compute/tensor/index.ts";
import { type Sequence, loadHalfModel, loadResidentModel } from "../model/decoder/index.ts";
import { parameterLayout, parameterViews } from "../model/nn/index.ts";
import { loraParameters, trainingEngine } from "./engine.ts";
import { firstScale, nextScale, scalerDefaults } from "./loss-scaler.ts";
import { type Numerics, plainNumerics } from "./precision.ts";
import { adapter, file, golden, initialOf, layers, spec, store } from "./golden-llama.testing.ts";

interface Gradients {
  readonly loss: number;
  /** Little-endian float32 in base64. */
  readonly gradient: Readonly<Record<string, string>>;
}
interface Trace {
  readonly label: string;
  /** 0: finite; else which value an element of the gradient has: ∞, −∞, NaN. */
  readonly overflows: readonly number[];
  readonly interval: number;
  readonly initial: number;
  readonly scales: readonly number[];
  readonly goodSteps: readonly number[];
  readonly parameters: readonly (readonly number[])[];
}
const want = golden<Record<"float32" | "fp16" | "bf16", Gradients> & { readonly traces: readonly Trace[] }>(
  "train/precision.json",
);
const layout = parameterLayout(loraParameters(layers, file.rank));
const initial = initialOf(layout);
const sequences = file.rows.map((ids, i): Sequence => ({ ids, weights: file.weights[i]! }));
const supervised = file.weights.flat().reduce((a, b) => a + b);

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

/** One accumulated gradient; the frozen weights as floats, or held in the format of the products. */
async function run(
  numerics: Numerics,
  { held = false, scale = 1 }: { readonly held?: boolean; readonly scale?: number } = {},
): Promise<{ readonly loss: number; readonly gradient: Float32Array }> {
  const half = numerics.precision === "fp16" ? "float16" : "bfloat16";
  const model = held
    ? await loadHalfModel(runtime, spec, store, { half, products: numerics.products })
    : await loadResidentModel(runtime, spec, store);
  await using engine = await trainingEngine(model, initial, {
    layout,
    adapter,
    dropout: 0,
    seed: 1,
    optimizer: adamWDefaults,
    queryChunks: 1,
    lossChunks: 2,
    recompute: "none",
    numerics,
  });
  const loss = await engine.accumulate(sequences, 1 / supervised, 0, { gradientScale: scale });
  return { loss, gradient: (await engine.gradient()).map((value) => value / scale) };
}

function goldenGradient({ gradient }: Gradients): Float32Array {
  const flat = new Float32Array(layout.size);
  for (const [name, view] of parameterViews(layout, flat))
    view.set(new Float32Array(Uint8Array.from(Buffer.from(gradient[name]!, "base64")).buffer));
  return flat;
}

/** ‖got − want‖ / ‖want‖. */
function distance(got: Float32Array, from: Float32Array): number {
  const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  return norm(got.map((value, i) => value - from[i]!)) / norm(from);
}

const rounded = (precision: Numerics["precision"]): Numerics => ({ ...plainNumerics, precision });

/** The largest relative error of one rounding: half a unit in the last place. */
const rounding = { fp16: 2 ** -11, bf16: 2 ** -8 } as const;

describe("beside torch.autocast on the CPU", () => {
  // A gradient has come through some thirty roundings in a row, whose errors add up like a random walk: about √30.
  // torch's own gradient is 5 (fp16) and 4 (bf16) roundings from float32, and ours 4 from torch's, as it rounds at
  // the products and not in between. The loss averages over tokens.
  test.each(["fp16", "bf16"] as const)(
    "%s: loss and gradient within the format's rounding",
    async (precision) => {
      const unit = rounding[precision];
      const exact = goldenGradient(want.float32);
      const torch = goldenGradient(want[precision]);
      expect(distance(torch, exact)).toBeGreaterThan(3 * unit);
      for (const held of [false, true]) {
        const scale = precision === "fp16" ? 1024 : 1;
        const { loss, gradient } = await run(rounded(precision), { held, scale });
        expect(Math.abs(loss / want[precision].loss - 1)).toBeLessThan(unit / 4);
        expect(distance(gradient, torch)).toBeLessThan(6 * unit);
        // It is really rounded.
        expect(distance(gradient, exact)).toBeGreaterThan(3 * unit);
      }
    },
  );

  test("half-precision products and float32 products of rounded operands agree", async () => {
    const native = await run({ ...rounded("fp16"), products: "native" }, { held: true, scale: 1024 });
    const emulated = await run(rounded("fp16"), { held: true, scale: 1024 });
    expect(Math.abs(native.loss / emulated.loss - 1)).toBeLessThan(rounding.fp16 / 4);
    // Without half-precision kernels onnxruntime computes in float32 and leaves out roundings between products.
    expect(distance(native.gradient, emulated.gradient)).toBeLessThan(6 * rounding.fp16);
  });
});

describe("activations kept in float16", () => {
  test("the loss is the very same, the gradient is off by its rounding", async () => {
    const exact = await run(plainNumerics);
    const kept = await run({ ...plainNumerics, activations: "float16" });
    expect(kept.loss).toBe(exact.loss);
    expect(distance(kept.gradient, exact.gradient)).toBeGreaterThan(2 ** -14);
    expect(distance(kept.gradient, exact.gradient)).toBeLessThan(2 * 2 ** -11);
  });
});

describe("dynamic loss scaling", () => {
  test.each(want.traces)("as torch's GradScaler: $label", async (trace) => {
    const options = { ...scalerDefaults, interval: trace.interval, initial: trace.initial };
    const size = trace.parameters[0]!.length;
    await using program = await runtime.compile(adamWGraph(adamWDefaults, { guarded: true }));
    let state = firstScale(options);
    let vectors = {
      parameters: float32([size], uniform("parameters", size)),
      firstMoment: float32([size], new Float32Array(size)),
      secondMoment: float32([size], new Float32Array(size)),
    };
    for (const [step, overflow] of trace.overflows.entries()) {
      const gradient = Float32Array.from(uniform(`gradient ${step}`, size), (x) => x * state.scale);
      if (overflow !== 0) gradient[step % size] = [0, Infinity, -Infinity, Number.NaN][overflow]!;
      const update = step + 1 - state.skipped;
      const { outputs } = await program.run({
        ...vectors,
        gradient: float32([size], gradient),
        rate: scalar(0.01),
        decay: scalar(0.01 * 0.1),
        gradientScale: scalar(1 / state.scale),
        maxNorm: scalar(0.5),
        correction1: scalar(1 - 0.9 ** update),
        correction2: scalar(Math.sqrt(1 - 0.999 ** update)),
      });
      const finite = !Number.isNaN((outputs["gradientNorm"]!.data as Float32Array)[0]!);
      expect(finite).toBe(overflow === 0);
      state = nextScale(state, finite, options);
      const next = (name: string) => float32([size], outputs[name]!.data as Float32Array);
      vectors = {
        parameters: next("nextParameters"),
        firstMoment: next("nextFirstMoment"),
        secondMoment: next("nextSecondMoment"),
      };
      expect([state.scale, state.goodSteps]).toEqual([trace.scales[step], trace.goodSteps[step]]);
      trace.parameters[step]!.forEach((value, i) =>
        expect(vectors.parameters.data[i]!).toBeCloseTo(value, 6),
      );
    }
    expect(state.skipped).toBe(trace.overflows.filter((overflow) => overflow !== 0).length);
  });

  test("a gradient that overflows float16 changes neither parameters nor moments, and is forgotten", async () => {
    const model = await loadResidentModel(runtime, spec, store);
    await using engine = await trainingEngine(model, initial, {
      layout,
      adapter,
      dropout: 0,
      seed: 1,
      optimizer: adamWDefaults,
      queryChunks: 1,
      lossChunks: 1,
      recompute: "none",
      numerics: rounded("fp16"),
    });
    const step = async (scale: number, update: number): Promise<number> => {
      await engine.accumulate(sequences, 1 / supervised, 0, { gradientScale: scale });
      return engine.update({
        learningRate: 0.01,
        weightDecay: 0.1,
        maxNorm: 1,
        update,
        gradientScale: scale,
      });
    };
    const before = await engine.state();
    expect(await step(2 ** 40, 1)).toBeNaN();
    expect(await engine.state()).toEqual(before);
    expect(await step(2 ** 10, 1)).toBeGreaterThan(0);
    const after = await engine.state();
    expect(after.parameters).not.toEqual(before.parameters);
    expect([...after.parameters, ...after.secondMoment].every(Number.isFinite)).toBe(true);
  });
});
