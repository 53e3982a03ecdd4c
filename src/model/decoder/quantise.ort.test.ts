/** The 8-bit base against the float32 one: the loss stays near, the adapter's gradient points the same way. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { float32 } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { parameterLayout, peakOfChannel, smoothingName } from "../nn/index.ts";
import { type WeightStore, memoryWeights } from "../weights/index.ts";
import { loraParameters, trainingEngine } from "../../train/index.ts";
import {
  type InputLevels,
  expectedWeights,
  inputLevels,
  linearLayers,
  loadInt8Model,
  loadResidentModel,
  specFromConfig,
} from "./index.ts";
import { quantiseRows, rmsOfColumns, smoothingOf } from "./quantise.ts";

const spec = specFromConfig({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 97,
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
});

/** Random weights whose norm scales make some input channels 4 times louder than the rest, as real models have. */
function weights() {
  const dice = random(3, "quantise test");
  return memoryWeights(
    expectedWeights(spec).map(({ name, shape }) => {
      const norm = name.endsWith("norm.weight");
      const size = shape.reduce((a, b) => a * b, 1);
      const values = Float32Array.from({ length: size }, (_, i) =>
        norm ? (i % 16 === 3 ? 4 : 1) : (0.5 * dice.normal()) / Math.sqrt(shape.at(-1)!),
      );
      return [name, float32(shape, values)] as const;
    }),
  );
}

const sequences = Array.from({ length: 3 }, (_, b) => ({
  ids: Array.from({ length: 20 + 5 * b }, (_, t) => (t * 31 + b * 17) % 97),
  weights: Array.from({ length: 20 + 5 * b }, (_, t) => (t > 4 ? 1 : 0)),
}));

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
});

const levels = (): Promise<InputLevels> => inputLevels(runtime, spec, weights(), sequences, peakOfChannel);

/** The weights that the codes of an 8-bit base stand for. */
async function roundedWeights(): Promise<WeightStore> {
  const [store, loud] = [weights(), await levels()];
  const valuesOf = async (name: string): Promise<Float32Array> => (await store.read(name)).data;
  const all = expectedWeights(spec);
  const linears = all.filter(({ name }) => name.includes("_proj"));
  const group = ({ name }: { readonly name: string }): string =>
    smoothingName(name.slice(0, -".weight".length));
  const rounded = await Promise.all(
    all.map(async (weight) => {
      const { name, shape } = weight;
      const values = await valuesOf(name);
      if (!linears.includes(weight)) return [name, float32(shape, values)] as const;
      const columns = shape[1]!;
      const together = linears.filter((one) => group(one) === group(weight));
      const beside = await Promise.all(together.map((one) => valuesOf(one.name)));
      const smoothing = smoothingOf(loud.get(group(weight))!, rmsOfColumns(beside, columns));
      const { codes, scale } = quantiseRows(values, columns, smoothing);
      const standsFor = Float32Array.from(
        codes,
        (code, i) => (code * scale[Math.floor(i / columns)]!) / smoothing[i % columns]!,
      );
      return [name, float32(shape, standsFor)] as const;
    }),
  );
  return memoryWeights(rounded);
}

async function lossAndGradient(
  base: "float32" | "int8",
  store = weights(),
): Promise<{ loss: number; measured: number; gradient: Float32Array }> {
  const model =
    base === "int8"
      ? await loadInt8Model(runtime, spec, store, await levels())
      : await loadResidentModel(runtime, spec, store);
  const layers = Array.from({ length: spec.layers }, (_, l) =>
    linearLayers(spec).map(({ name, shape }) => ({
      path: `model.layers.${l}.${name}`,
      shape: [shape[0]!, shape[1]!] as const,
    })),
  ).flat();
  const layout = parameterLayout(loraParameters(layers, 4));
  const dice = random(4, "adapter");
  const initial = Float32Array.from({ length: layout.size }, () => 0.05 * dice.normal());
  await using engine = await trainingEngine(model, initial, {
    layout,
    adapter: { rank: 4, scale: 2, adapts: () => true },
    dropout: 0,
    seed: 1,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
    base,
  });
  const loss = await engine.accumulate(sequences, 1 / 60, 0);
  return { loss, measured: (await engine.loss(sequences)) / 60, gradient: await engine.gradient() };
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}

describe("the 8-bit base", () => {
  it("keeps the loss within 1 % and the gradient's direction within a cosine of 0.995", async () => {
    const exact = await lossAndGradient("float32");
    const quantised = await lossAndGradient("int8");
    expect(quantised.loss).not.toBe(exact.loss);
    expect(Math.abs(quantised.loss / exact.loss - 1)).toBeLessThan(0.01);
    expect(cosine(exact.gradient, quantised.gradient)).toBeGreaterThan(0.995);
  });

  it("measures the loss of the weights that its codes stand for, of which a step rounds the inputs too", async () => {
    const { loss, measured } = await lossAndGradient("int8");
    const rounded = await lossAndGradient("float32", await roundedWeights());
    const exact = await lossAndGradient("float32");
    expect(Math.abs(measured / rounded.loss - 1)).toBeLessThan(1e-6);
    expect(Math.abs(measured / exact.loss - 1)).toBeGreaterThan(1e-5);
    expect(Math.abs(loss / measured - 1)).toBeGreaterThan(1e-5);
    expect(Math.abs(loss / measured - 1)).toBeLessThan(0.002);
  });

  it("reconstructs every weight to half a step of its row", () => {
    const dice = random(5, "rows");
    const weight = Float32Array.from({ length: 6 * 10 }, () => dice.normal());
    const smoothing = Float32Array.from({ length: 10 }, () => 0.5 + dice.next());
    const { codes, scale } = quantiseRows(weight, 10, smoothing);
    weight.forEach((value, i) => {
      const step = scale[Math.floor(i / 10)]! / smoothing[i % 10]!;
      expect(Math.abs(codes[i]! * step - value)).toBeLessThanOrEqual(step / 2 + 1e-6);
    });
  });

  it("marks the rows that hold something else than numbers, and no other", () => {
    const weight = Float32Array.of(1, Number.NaN, -2, 4, Number.POSITIVE_INFINITY, 1, 0, 0);
    const { codes, scale } = quantiseRows(weight, 2, new Float32Array(2).fill(1));
    expect([...scale].map(Number.isFinite)).toEqual([false, true, false, true]);
    expect(scale[1]).toBe(Math.fround(4 / 127));
    expect([...codes.subarray(2, 4), ...codes.subarray(6)]).toEqual([-63, 127, 0, 0]);
  });

  it("measures columns over all weights that read one input", () => {
    const level = rmsOfColumns([Float32Array.of(3, 0, 4, 2), Float32Array.of(5, -2)], 2);
    expect(level[0]).toBeCloseTo(Math.sqrt(50 / 3), 5);
    expect(level[1]).toBeCloseTo(Math.sqrt(8 / 3), 5);
  });

  it("leaves silent channels alone", () => {
    expect([...smoothingOf(Float32Array.of(4, 0, 1), Float32Array.of(1, 1, 0))]).toEqual([2, 1, 1]);
  });
});
