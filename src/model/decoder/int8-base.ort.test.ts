/** The 8-bit base against the float32 one: the loss stays near, the adapter's gradient points the same way. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GraphBuilder } from "../../compute/graph/index.ts";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { type Tensor, float32 } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import {
  calibrating,
  inputWeights,
  linear,
  outputInt8,
  parameterLayout,
  peakOfChannel,
  scope,
  smoothingName,
} from "../nn/index.ts";
import { type WeightStore, memoryWeights } from "../weights/index.ts";
import { loraParameters, trainingEngine } from "../../train/index.ts";
import {
  batchInputs,
  decoder,
  expectedWeights,
  flatBatch,
  int8Blocks,
  linearLayers,
  loadInt8Model,
  loadResidentModel,
  type ResidentModel,
  specFromConfig,
} from "./index.ts";
import { finalNorm } from "./decoder.ts";
import { quantiseRows } from "./quantise-rows.ts";

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

async function int8Model(store = weights()): Promise<ResidentModel> {
  return loadInt8Model(runtime, spec, store, await int8Blocks(runtime, spec, store, sequences));
}

async function numbersOf(model: ResidentModel, name: string): Promise<Float32Array | Int8Array> {
  const { data } = await runtime.download(model.weights.get(name)!);
  return data as Float32Array | Int8Array;
}

const isLinear = (name: string): boolean => name.includes("_proj");
const smoothingOf = (name: string): string => smoothingName(name.slice(0, -".weight".length));

/** The weights that the codes of an 8-bit base stand for. */
async function roundedWeights(): Promise<WeightStore> {
  const [store, model] = [weights(), await int8Model()];
  const rounded = await Promise.all(
    expectedWeights(spec).map(async ({ name, shape }) => {
      if (!isLinear(name)) return [name, await store.read(name)] as const;
      const columns = shape[1]!;
      const [codes, scale, inverse] = await Promise.all(
        [`${name}.int8`, `${name}.scale`, smoothingOf(name)].map((part) => numbersOf(model, part)),
      );
      const standsFor = Float32Array.from(
        codes!,
        (code, i) => code * scale![Math.floor(i / columns)]! * inverse![i % columns]!,
      );
      return [name, float32(shape, standsFor)] as const;
    }),
  );
  return memoryWeights(rounded);
}

/** How loud each input of a float32 layer is in the whole decoder, by the name of its smoothing. */
async function loudness(): Promise<ReadonlyMap<string, Float32Array>> {
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const observed = calibrating(linear, peakOfChannel, (name, loud) => g.output(name, loud));
  const options = { linear: observed, queryChunks: 1, recompute: "none", trainable: new Map() } as const;
  const last = finalNorm(root, spec, decoder(root, spec, batchInputs(g, spec, 1), options));
  g.output(smoothingName("lm_head"), peakOfChannel(g, last));
  await using program = await runtime.compile(g.build());
  const { feeds, longest } = flatBatch(sequences, spec, { queryChunks: 1, lossChunks: 1 });
  const model = await loadResidentModel(runtime, spec, weights());
  const all = { ...(await model.feeds(program.inputs, longest)), ...feeds };
  const wanted = Object.fromEntries(program.inputs.map((name) => [name, all[name as keyof typeof all]!]));
  const { outputs } = await program.run(wanted);
  return new Map(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]));
}

/** √(x / w) of a channel's level and the root mean square of its weights. */
function smoothing(loud: Float32Array, together: readonly Float32Array[]): Float32Array {
  return loud.map((level, i) => {
    const column = together.flatMap((weight) => [...weight].filter((_, at) => at % loud.length === i));
    return Math.sqrt(level / Math.sqrt(column.reduce((sum, w) => sum + w * w, 0) / column.length));
  });
}

async function lossAndGradient(
  base: "float32" | "int8",
  store = weights(),
): Promise<{ loss: number; measured: number; gradient: Float32Array }> {
  const model = base === "int8" ? await int8Model(store) : await loadResidentModel(runtime, spec, store);
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

  it("holds the codes of the smoothed weights of each row, the vocabulary's among them", async () => {
    const [store, loud, model] = [weights(), await loudness(), await int8Model()];
    const linears = expectedWeights(spec).filter(({ name }) => isLinear(name));
    const matrices = [
      ...linears.map(({ name }) => ({ name, stored: name })),
      { name: "lm_head.weight", stored: "model.embed_tokens.weight" },
    ];
    for (const { name, stored } of matrices) {
      const group = smoothingOf(name);
      const columns = loud.get(group)!.length;
      const beside = matrices.filter((one) => smoothingOf(one.name) === group);
      const values = await Promise.all(beside.map(async (one) => (await store.read(one.stored)).data));
      const s = smoothing(loud.get(group)!, values);
      const inverse = await numbersOf(model, group);
      s.forEach((value, i) => expect(Math.abs(inverse[i]! * value - 1)).toBeLessThan(1e-5));
      const smoothed = (await store.read(stored)).data.map((value, i) => value * s[i % columns]!);
      const want = quantiseRows(smoothed, columns);
      const [codes, scale] = [
        await numbersOf(model, `${name}.int8`),
        await numbersOf(model, `${name}.scale`),
      ];
      want.scale.forEach((value, row) => expect(Math.abs(scale[row]! / value - 1)).toBeLessThan(1e-5));
      // Where a value lies half way between two codes, the last bit decides.
      const other = want.codes.filter((code, i) => code !== codes[i]);
      expect(other.length).toBeLessThan(1e-3 * codes.length);
      want.codes.forEach((code, i) => expect(Math.abs(code - codes[i]!)).toBeLessThanOrEqual(1));
    }
  });

  it("has nothing in float32 but norms, the table and what goes with codes", async () => {
    const { weights } = await int8Model();
    const floats = [...weights].filter(([, { dtype }]) => dtype === "float32").map(([name]) => name);
    expect(floats.filter((name) => !/(norm\.weight|\.scale|\.smoothing)$/.test(name))).toEqual([
      "model.embed_tokens.weight",
    ]);
    expect(floats.filter((name) => name.endsWith("norm.weight")).length).toBe(2 * spec.layers + 1);
  });

  it("tells of every weight that is read, once", async () => {
    const told: number[] = [];
    const total = expectedWeights(spec).length;
    const onWeight = (done: number, of: number): void => void told.push(done, of);
    const blocks = await int8Blocks(runtime, spec, weights(), sequences, onWeight);
    await loadInt8Model(runtime, spec, weights(), blocks, onWeight);
    const perBlock = 9;
    expect(told).toEqual([perBlock, 2 * perBlock, 3 * perBlock, total - 1, total].flatMap((n) => [n, total]));
  });
});

describe("weights on their way into 8 bits", () => {
  const through = async (weight: Float32Array, loud: Float32Array): Promise<Record<string, Tensor>> => {
    const columns = loud.length;
    const g = new GraphBuilder();
    const w = g.input("w", "float32", [weight.length / columns, columns]);
    outputInt8(g, "smoothing", g.input("loud", "float32", [columns]), new Map([["w", w]]));
    await using program = await runtime.compile(g.build());
    return (
      await program.run({
        w: float32([weight.length / columns, columns], weight),
        loud: float32([columns], loud),
      })
    ).outputs;
  };

  it("are reconstructed to half a step of their row", async () => {
    const dice = random(5, "rows");
    const weight = Float32Array.from({ length: 6 * 10 }, () => dice.normal());
    const loud = Float32Array.from({ length: 10 }, () => 0.5 + dice.next());
    const out = await through(weight, loud);
    weight.forEach((value, i) => {
      const step = Number(out["w.scale"]!.data[Math.floor(i / 10)]) * Number(out["smoothing"]!.data[i % 10]);
      expect(Math.abs(Number(out["w.int8"]!.data[i]) * step - value)).toBeLessThanOrEqual(step / 2 + 1e-6);
    });
  });

  it("are the same row by row of a table too long for one stretch", async () => {
    const dice = random(6, "long table");
    const weight = Float32Array.from({ length: 4097 * 3 }, () => dice.normal());
    const out = await through(weight, new Float32Array(3).fill(1));
    const inverse = out["smoothing"]!.data as Float32Array;
    const want = quantiseRows(
      weight.map((value, i) => value / inverse[i % 3]!),
      3,
    );
    want.scale.forEach((value, row) => expect(Number(out["w.scale"]!.data[row]) / value).toBeCloseTo(1, 5));
    want.codes.forEach((code, i) =>
      expect(Math.abs(code - Number(out["w.int8"]!.data[i]))).toBeLessThanOrEqual(1),
    );
  });

  it("mark the rows that hold something else than numbers, and no other", async () => {
    const weight = Float32Array.of(1, Number.NaN, -2, 4, Number.POSITIVE_INFINITY, 1, 0, 0);
    const out = await through(weight, new Float32Array(2).fill(1));
    const scale = [...(out["w.scale"]!.data as Float32Array)];
    expect(scale.map(Number.isFinite)).toEqual([false, true, false, true]);
    expect(scale[1]).toBe(Math.fround(4 / 127));
    const codes = [...(out["w.int8"]!.data as Int8Array)];
    expect([...codes.slice(2, 4), ...codes.slice(6)]).toEqual([-64, 127, 0, 0]);
  });

  it("leave silent channels as they are, and those that nothing weighs", async () => {
    const out = await through(Float32Array.of(1, 1, 0, 1, 1, 0), Float32Array.of(4, 0, 1));
    expect([...(out["smoothing"]!.data as Float32Array)]).toEqual([0.5, 1, 1]);
  });
});

it("rows without smoothing mark what is no number, and round to the nearest code", () => {
  const weight = Float32Array.of(1, Number.NaN, -2, 4, Number.POSITIVE_INFINITY, 1, 0, 0);
  const { codes, scale } = quantiseRows(weight, 2);
  expect([...scale].map(Number.isFinite)).toEqual([false, true, false, true]);
  expect([...codes.subarray(2, 4), ...codes.subarray(6)]).toEqual([-63, 127, 0, 0]);
});
