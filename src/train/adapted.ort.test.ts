/** What PEFT and transformers offer beside plain LoRA, step for step as they compute it on a tiny Llama. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formulaTensor, uniform } from "../../test/fixtures/formula-weights.ts";
import { adamWDefaults } from "../compute/optim/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { float32, scalar, tensor, zeros } from "../compute/tensor/index.ts";
import {
  type ModelSpec,
  type ResidentModel,
  flatBatch,
  lossGraph,
  residentModel,
  loadResidentModel,
  withSlidingWindow,
} from "../model/decoder/index.ts";
import { type ParameterLayout, parameterLayout, parameterViews } from "../model/nn/index.ts";
import { adaptedLayers, savedWeights, targetModulesOf } from "./adapted-layers.ts";
import { type EngineOptions, loraParameters, trainingEngine } from "./engine.ts";
import { adapter, file, golden, initialOf, layers, row, spec, store } from "./golden-llama.testing.ts";

type ByName = Readonly<Record<string, string>>;
interface Method {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  /** Little-endian float32 in base64, by name. */
  readonly parameters?: ByName;
  readonly gradient?: ByName;
}
interface Golden extends Record<"dora" | "doraDropout" | "modules" | "window", Method> {
  readonly rate: number;
  readonly weightDecay: number;
  readonly maxNorm: number;
  readonly slidingWindow: number;
  readonly dropout: number;
  readonly batches: readonly (readonly number[])[];
}
const want = golden<Golden>("train/adapted.json");
const weightOf = (batch: readonly number[]): number =>
  batch.reduce((sum, i) => sum + file.weights[i]!.reduce((a, b) => a + b), 0);

let runtime: Runtime;
let model: ResidentModel;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  model = await loadResidentModel(runtime, spec, store);
});
afterAll(() => runtime[Symbol.asyncDispose]());

const options = (layout: ParameterLayout): EngineOptions => ({
  layout,
  adapter,
  dropout: 0,
  seed: 1,
  optimizer: adamWDefaults,
  queryChunks: 1,
  lossChunks: 1,
  recompute: "none",
});

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
  expectVectors(parameterViews(layout, (await engine.state()).parameters), method.parameters!);
}

function expectVectors(got: ReadonlyMap<string, Float32Array>, wanted: ByName): void {
  expect([...got.keys()].sort()).toEqual(Object.keys(wanted).sort());
  for (const [name, encoded] of Object.entries(wanted)) {
    const expected = new Float32Array(Uint8Array.from(Buffer.from(encoded, "base64")).buffer);
    const values = got.get(name)!;
    expect(values.length, name).toBe(expected.length);
    // By norm: AdamW makes whole steps of gradients that are nothing but rounding, so single elements may differ by more.
    const norm = Math.hypot(...expected);
    const error = Math.hypot(...expected.map((value, i) => value - values[i]!));
    expect(error / norm, name).toBeLessThan(3e-5);
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

describe("modules_to_save", () => {
  const whole = savedWeights(spec, ["embed_tokens", "lm_head", "input_layernorm", "norm"], layers);
  const layout = parameterLayout([...loraParameters(layers, file.rank), ...whole]);

  test("embeddings, vocabulary product and norms learn whole beside LoRA, as PEFT's do", async () => {
    await expectFollows(want.modules, { layout });
  });

  test("names are matched by their end, as PEFT matches them; what cannot be is refused by name", () => {
    expect(savedWeights(spec, ["norm"], layers).map(({ name }) => name)).toContain(
      "model.layers.0.post_attention_layernorm.weight",
    );
    const tied = { ...spec, tiedEmbeddings: true };
    expect(() => savedWeights(tied, ["lm_head"], layers)).toThrow(/shares embed_tokens.*Name embed_tokens/s);
    expect(() => savedWeights(spec, ["q_proj"], layers)).toThrow(/in lora.targets and in lora.modulesToSave/);
    expect(() => savedWeights(spec, ["embed_token"], layers)).toThrow(/Did you mean embed_tokens/);
  });
});

describe("targets", () => {
  test("an expression must match the whole name; PEFT is told exactly the layers it means", () => {
    const some = adaptedLayers(spec, ".*layers\\.1\\..*(q|k)_proj");
    expect(some.map(({ path }) => path)).toEqual(["q", "k"].map((x) => `model.layers.1.self_attn.${x}_proj`));
    expect(targetModulesOf(spec, some)).toEqual(some.map(({ path }) => path));
    expect(targetModulesOf(spec, layers)).toEqual(["q_proj", "v_proj"]);
    expect(adaptedLayers(spec, "all-linear")).toHaveLength(14);
    expect(() => adaptedLayers(spec, "q_proj")).toThrow(/no linear layer's whole name matches/);
    expect(() => adaptedLayers(spec, "(")).toThrow(/not a regular expression/);
    expect(() => adaptedLayers(spec, ["lm_head"])).toThrow(/modulesToSave: \[lm_head\]/);
    expect(() => adaptedLayers({ ...spec, tiedEmbeddings: true }, ["lm_head"])).toThrow(/\[embed_tokens\]/);
  });
});

describe("DoRA with dropout", () => {
  test("drops the input of W and of A alike, as PEFT does: loss and gradient with given masks", async () => {
    const graph = lossGraph(spec, {
      layout: doraLayout,
      adapter: { ...options(doraLayout).adapter!, dora: true },
      dropout: want.dropout,
      gradients: true,
      queryChunks: 1,
      lossChunks: 1,
      recompute: "none",
    });
    await using program = await runtime.compile(graph);
    const whole = { queryChunks: 1, lossChunks: 1, share: false };
    const { feeds, tokens, longest } = flatBatch([0, 1, 2].map(row), spec, whole);
    const masks = Object.fromEntries(
      layers.map(({ path }) => {
        const kept = [0, 1, 2].flatMap((i) => {
          const size = file.rows[i]!.length * spec.hiddenSize;
          return Array.from(uniform(`keep ${path} ${i}`, size), (u) => (u >= 2 * want.dropout - 1 ? 1 : 0));
        });
        return [`dropout:${path}`, tensor("bool", [tokens, spec.hiddenSize], Uint8Array.from(kept))];
      }),
    );
    const { outputs } = await program.run({
      ...(await model.feeds(program.inputs, longest)),
      ...feeds,
      ...masks,
      parameters: float32([doraLayout.size], initialDora()),
      gradientSum: zeros("float32", [doraLayout.size]),
      lossScale: scalar(1 / weightOf([0, 1, 2])),
    });
    const loss = (outputs["loss"]!.data as Float32Array)[0]!;
    expect(Math.abs(loss / want.doraDropout.losses[0]! - 1)).toBeLessThan(1e-5);
    const gradient = parameterViews(doraLayout, outputs["gradient"]!.data as Float32Array);
    expectVectors(gradient, want.doraDropout.gradient!);
  });
});

describe("a sliding window", () => {
  test("trains as transformers' Mistral with that window does", async () => {
    const layout = parameterLayout(loraParameters(layers, file.rank));
    await expectFollows(want.window, { layout, spec: withSlidingWindow(spec, want.slidingWindow) });
  });
});
