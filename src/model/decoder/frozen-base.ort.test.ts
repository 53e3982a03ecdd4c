/** A base in blocks gives the loss and the gradient of the float32 model that its blocks stand for. */
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { optimize } from "../../compute/graph/index.ts";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { dequantiseBlocks, float32, quantiseBlocks } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { loraParameters, trainingEngine } from "../../train/index.ts";
import { largestOfChannel, llmInt8Linear, parameterLayout } from "../nn/index.ts";
import {
  type StorageType,
  type WeightStore,
  memoryWeights,
  storageBytes,
  storageFormats,
} from "../weights/index.ts";
import {
  type FrozenBase,
  type Recompute,
  type ResidentModel,
  expectedWeights,
  frozenBytes,
  frozenFormats,
  linearLayers,
  loadFrozenModel,
  inputLevels,
  int8Blocks,
  int8Layers,
  loadInt8Model,
  loadLlmInt8Model,
  loadResidentModel,
  lossGraph,
  specFromConfig,
} from "./index.ts";

const spec = specFromConfig({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 61,
  hidden_size: 256,
  intermediate_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
});

const isLinear = (name: string): boolean => name.includes("_proj");

const remembered = new Map<string, Float32Array>();
function floats(name: string, shape: readonly number[]): Float32Array {
  const known = remembered.get(name) ?? drawn(name, shape);
  remembered.set(name, known);
  return known;
}

function drawn(name: string, shape: readonly number[]): Float32Array {
  const dice = random(3, name);
  const norm = name.endsWith("norm.weight");
  const size = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: size }, () => (norm ? 1 : dice.normal() / Math.sqrt(shape.at(-1)!)));
}

/** Every float weight of the model, the linear ones passed through `change`. */
function storeOf(
  change: (values: Float32Array, shape: readonly number[], name: string) => Float32Array,
): WeightStore {
  return memoryWeights(
    expectedWeights(spec).map(({ name, shape }) => {
      const values = floats(name, shape);
      return [name, float32(shape, isLinear(name) ? change(values, shape, name) : values)] as const;
    }),
  );
}

/** Which format a GGUF file holds each kind of layer in; what is not named is stored as floats. */
const storages: Readonly<Record<string, StorageType>> = {
  q_proj: "Q4_0",
  k_proj: "Q8_0",
  v_proj: "Q6_K",
  o_proj: "Q4_1",
  gate_proj: "Q4_K",
  up_proj: "Q5_K",
};

/** A store whose linear weights are random blocks of those formats. */
function ggufStore(): WeightStore {
  const plain = storeOf((values) => values);
  const storageOf = (name: string): StorageType => storages[name.split(".").at(-2)!] ?? "F32";
  const bytesOf = (name: string): Uint8Array => {
    const { blockElements, blockBytes } = storageFormats[storageOf(name)];
    const elements = plain.info(name).shape.reduce((a, b) => a * b, 1);
    const dice = random(5, name);
    const bytes = Uint8Array.from({ length: storageBytes(storageOf(name), elements) }, () =>
      dice.integer(256),
    );
    // Half-precision scales of about 2^-9, so that the values have a weight's size; Q6_K keeps its own at the end.
    for (let at = 0; at < bytes.length; at += blockBytes) {
      const places = storageOf(name) === "Q6_K" ? [208] : blockElements === 256 ? [0, 2] : [0];
      if (storageOf(name) === "Q4_1") places.push(2);
      for (const place of places)
        bytes.set([dice.integer(256), blockElements === 256 ? 0x04 : 0x1c], at + place);
    }
    return bytes;
  };
  return {
    ...plain,
    info: (name) => ({ ...plain.info(name), storage: storageOf(name) }),
    read: async (name) => {
      if (storageOf(name) === "F32") return plain.read(name);
      const { shape } = plain.info(name);
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      storageFormats[storageOf(name)].toFloat32(bytesOf(name), values);
      return float32(shape, values);
    },
    readRaw: async (name) =>
      storageOf(name) === "F32"
        ? plain.readRaw(name)
        : { storage: storageOf(name), shape: plain.info(name).shape, bytes: bytesOf(name) },
  };
}

const sequences = Array.from({ length: 2 }, (_, b) => ({
  ids: Array.from({ length: 12 + 5 * b }, (_, t) => (t * 31 + b * 17) % 61),
  weights: Array.from({ length: 12 + 5 * b }, (_, t) => (t > 4 ? 1 : 0)),
}));

const layers = Array.from({ length: spec.layers }, (_, l) =>
  linearLayers(spec).map(({ name, shape }) => ({
    path: `model.layers.${l}.${name}`,
    shape: [shape[0]!, shape[1]!] as const,
  })),
).flat();
const layout = parameterLayout(loraParameters(layers, 2));
const graphOptions = {
  layout,
  adapter: { rank: 2, scale: 2, adapts: () => true },
  queryChunks: 1,
  lossChunks: 1,
};

async function lossAndGradient(
  model: ResidentModel,
  recompute: Recompute = "none",
): Promise<{ loss: number; gradient: Float32Array }> {
  const dice = random(4, "adapter");
  const initial = Float32Array.from({ length: layout.size }, () => 0.05 * dice.normal());
  await using engine = await trainingEngine(model, initial, {
    ...graphOptions,
    dropout: 0,
    seed: 1,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    recompute,
  });
  const loss = await engine.accumulate(sequences, 1 / 20, 0);
  expect(await engine.loss(sequences)).toBeCloseTo(20 * loss, 3);
  return { loss, gradient: await engine.gradient() };
}

/** ‖a − b‖ / ‖b‖ */
function relativeError(a: Float32Array, b: Float32Array): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(error / norm);
}

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
});

const options = (base: FrozenBase["base"], blockSize = 64): FrozenBase => ({
  base,
  backward: "float32",
  blockSize,
});

describe("equal to the float32 model of the same values", () => {
  it.each([
    ["int4", "symmetric", 32, "none"],
    ["int4", "symmetric", 128, "blocks"],
    ["nf4", "nf4", 64, "none"],
    ["nf4", "nf4", 64, "blocks"],
  ] as const)("%s in blocks of %s %d, recomputing %s", async (base, code, block, recompute) => {
    const stands = storeOf((values, shape) => dequantiseBlocks(quantiseBlocks(values, shape, code, block)));
    const exact = await lossAndGradient(await loadResidentModel(runtime, spec, stands));
    const original = storeOf((values) => values);
    const model = await loadFrozenModel(runtime, spec, original, options(base, block));
    const got = await lossAndGradient(model, recompute);
    expect(Math.abs(got.loss / exact.loss - 1)).toBeLessThan(1e-5);
    expect(relativeError(got.gradient, exact.gradient)).toBeLessThan(1e-4);
  });

  it("the blocks of a GGUF file, of six kinds side by side", async () => {
    const store = ggufStore();
    const exact = await lossAndGradient(await loadResidentModel(runtime, spec, store));
    const got = await lossAndGradient(await loadFrozenModel(runtime, spec, store, options("stored")));
    expect(Math.abs(got.loss / exact.loss - 1)).toBeLessThan(1e-5);
    expect(relativeError(got.gradient, exact.gradient)).toBeLessThan(1e-4);
  });
});

it.each(["float32", "stored"] as const)(
  "%s with an 8-bit backward product: the same loss, nearly the same gradient",
  async (base) => {
    const store = base === "stored" ? ggufStore() : storeOf((values) => values);
    const exact = await lossAndGradient(await loadFrozenModel(runtime, spec, store, options(base)));
    const rough = await lossAndGradient(
      await loadFrozenModel(runtime, spec, store, { ...options(base), backward: "int8" }),
    );
    expect(Math.abs(rough.loss / exact.loss - 1)).toBeLessThan(1e-5);
    const error = relativeError(rough.gradient, exact.gradient);
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(0.05);
  },
);

describe("8 bits by row", () => {
  /** A norm whose channel 3 is 40 times as loud as the rest. */
  const loudStore = (): WeightStore => {
    const plain = storeOf((values) => values);
    const read = async (name: string) => {
      const weight = await plain.read(name);
      if (name.includes("input_layernorm")) weight.data[3] = 40;
      return weight;
    };
    return { ...plain, read };
  };

  it("LLM.int8() keeps loud channels in float, and so the loss where plain rows lose it", async () => {
    const exact = await lossAndGradient(await loadResidentModel(runtime, spec, loudStore()));
    const maxima = await inputLevels(runtime, spec, loudStore(), sequences, largestOfChannel);
    const calibrated = { backward: "float32", maxima } as const;
    const model = await loadLlmInt8Model(runtime, spec, loudStore(), calibrated);
    expect(model.weights.get("model.layers.0.self_attn.qkv.outliers")!.shape).toEqual([1]);
    expect(model.weights.has("model.layers.0.mlp.gate_up.outliers")).toBe(false);
    const kept = await lossAndGradient(model);
    const plain = llmInt8Linear(new Map(), "float32");
    const lost = await lossAndGradient({ ...model, frozen: plain });
    expect(Math.abs(kept.loss / exact.loss - 1)).toBeLessThan(1e-3);
    const error = relativeError(kept.gradient, exact.gradient);
    expect(error).toBeLessThan(0.1);
    expect(2 * error).toBeLessThan(relativeError(lost.gradient, exact.gradient));
  });

  it("a float32 backward product below smoothed int8 is nearer than an 8-bit one", async () => {
    const exact = await lossAndGradient(await loadResidentModel(runtime, spec, loudStore()));
    const errors: number[] = [];
    for (const frozen of [int8Layers(spec, "float32"), int8Layers(spec, "int8")]) {
      const model = await loadInt8Model(
        runtime,
        spec,
        loudStore(),
        await int8Blocks(runtime, spec, loudStore(), sequences),
      );
      const { gradient } = await lossAndGradient({ ...model, frozen });
      errors.push(relativeError(gradient, exact.gradient));
    }
    expect(errors[0]).toBeLessThan(errors[1]!);
    expect(errors[1]).toBeLessThan(0.2);
  });
});

describe("no float copy of a layer lives on", () => {
  const dequantised = async (recompute: Recompute): Promise<number> => {
    const model = await loadFrozenModel(
      runtime,
      spec,
      storeOf((values) => values),
      options("nf4"),
    );
    const graph = lossGraph(spec, { ...graphOptions, frozen: model.frozen!, gradients: true, recompute });
    return optimize(graph).nodes.filter(({ op }) => op === "GatherElements").length;
  };
  // 7 layers a block; the first block's q, k and v read nothing that is trained, so they have no backward product.
  test("each product forms its own", async () => expect(await dequantised("none")).toBe(2 * 14 - 3));
  // What a block's last layer gives is not needed again.
  test("so does each recomputed one", async () => expect(await dequantised("blocks")).toBe(3 * 14 - 3 - 2));
});

describe("what is held", () => {
  it("is what the plan counts", async () => {
    const dtypes = { float32: 4, uint8: 1, int8: 1 } as Readonly<Record<string, number>>;
    for (const [base, backward] of [
      ["nf4", "int8"],
      ["stored", "float32"],
    ] as const) {
      const store = ggufStore();
      const wanted = { ...options(base), backward };
      const { weights } = await loadFrozenModel(runtime, spec, store, wanted);
      const held = [...weights.values()].reduce(
        (sum, { dtype, shape }) => sum + dtypes[dtype]! * shape.reduce((a, b) => a * b, 1),
        0,
      );
      expect(frozenBytes(spec, store, wanted).weights).toBe(held);
    }
  });

  it("refuses what does not fit, with what would", () => {
    const message = (make: () => unknown): string => {
      try {
        make();
      } catch (error) {
        return (error as Error).message;
      }
      return "nothing was refused";
    };
    expect(
      message(() =>
        frozenFormats(
          spec,
          storeOf((values) => values),
          options("stored"),
        ),
      ),
    ).toMatchInlineSnapshot(
      `"training.base is stored, but the linear layers are stored as F32, not in blocks. Take a GGUF file in one of Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, or set training.base to int4, nf4 or int8."`,
    );
    const odd = { ...spec, hiddenSize: 24, headWidth: 6, mlpWidth: 40 };
    const store = { info: () => ({ storage: "F32", shape: [24, 24], bytes: 0, readable: true }) };
    expect(message(() => frozenFormats(odd, store, options("int4", 128)))).toMatchInlineSnapshot(
      `"training.blockSize is 128, but model.layers.0.self_attn.q_proj has 24 × 24 weights, not a multiple of it. Try training.blockSize=32."`,
    );
  });
});
