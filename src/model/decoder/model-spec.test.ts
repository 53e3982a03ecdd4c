/** ModelSpec against transformers: weights, frequencies and layers of every family; and what is refused. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { zeros } from "../../compute/tensor/index.ts";
import { UserError } from "../../util/index.ts";
import { memoryWeights, openGguf } from "../weights/index.ts";
import { type TestGguf, f32, ggufBytes } from "../weights/gguf-writer.testing.ts";
import { specFromConfig } from "./model-spec-config.ts";
import { specFromGguf } from "./model-spec-gguf.ts";
import { checkWeights, expectedWeights, parameterCount } from "./model-spec-weights.ts";
import { type ModelSpec, ropeFrequencies, withSlidingWindow } from "./model-spec.ts";

interface Golden {
  readonly config: Record<string, unknown>;
  readonly oldConfig: Record<string, unknown>;
  readonly weights: Readonly<Record<string, number[]>>;
  readonly parameters: number;
  readonly frequencies: readonly number[];
  readonly layers: readonly string[];
  readonly window: number | null;
  readonly eos: number | number[] | null;
  readonly bos: number | null;
}
const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/weights/model_specs.json", import.meta.url), "utf8"),
) as Readonly<Record<string, Golden>>;

const message = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
};

describe.each(Object.keys(golden))("%s", (name) => {
  const expected = golden[name]!;
  const spec = specFromConfig(expected.config);

  test("weights, parameters, frequencies, layers and tokens are those of transformers", () => {
    const weights = Object.fromEntries(expectedWeights(spec).map(({ name, shape }) => [name, shape]));
    expect(weights).toEqual(expected.weights);
    expect(parameterCount(spec)).toBe(expected.parameters);
    const frequencies = ropeFrequencies(spec);
    expect(frequencies.length).toBe(expected.frequencies.length);
    for (const [i, frequency] of expected.frequencies.entries()) {
      expect(Math.abs(frequencies[i]! / frequency - 1)).toBeLessThan(3e-7);
    }
    expect(spec.layerAttention.map((kind) => `${kind}_attention`)).toEqual(expected.layers);
    if (spec.layerAttention.includes("sliding")) expect(spec.slidingWindow).toBe(expected.window);
    else expect(spec.slidingWindow).toBeUndefined();
    expect(spec.eosIds).toEqual(expected.eos === null ? [] : [expected.eos].flat());
    expect(spec.bosId).toBe(expected.bos ?? undefined);
  });

  test("the form that older versions wrote gives the same", () => {
    expect(specFromConfig(expected.oldConfig)).toEqual(spec);
  });
});

describe("a configuration that cannot be used is refused with one clear message", () => {
  const sound = golden["llama"]!.oldConfig;
  const qwen = golden["qwen2, window from layer 1"]!.config;
  test.each<[string, unknown]>([
    ["not an object", []],
    ["mixtral", { model_type: "mixtral", architectures: ["MixtralForCausalLM"] }],
    ["gemma", { model_type: "gemma" }],
    ["a misspelt family", { ...sound, model_type: "lama", architectures: null }],
    ["an inherited name", { ...sound, model_type: "toString", architectures: null }],
    ["another head", { ...sound, architectures: ["LlamaForSequenceClassification"] }],
    ["family and class differ", { ...sound, model_type: "qwen2" }],
    ["no family", { ...sound, model_type: undefined, architectures: undefined }],
    ["quantised", { ...sound, quantization_config: { quant_method: "gptq", bits: 4 } }],
    ["missing width", { ...sound, hidden_size: undefined }],
    ["absurd layers", { ...sound, num_hidden_layers: 1e9 }],
    ["text for a number", { ...sound, vocab_size: "50" }],
    ["heads do not divide the width", { ...sound, num_attention_heads: 5, head_dim: null }],
    ["heads not a multiple of kv heads", { ...sound, num_key_value_heads: 4 }],
    ["odd head width", { ...sound, head_dim: 5 }],
    ["gelu", { ...sound, hidden_act: "gelu" }],
    ["yarn", { ...sound, rope_scaling: { rope_type: "yarn", factor: 4 } }],
    ["linear without a factor", { ...sound, rope_scaling: { type: "linear" } }],
    [
      "llama3 upside down",
      { ...sound, rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 1 } },
    ],
    ["partial rotation", { ...sound, partial_rotary_factor: 0.5 }],
    ["rotation by layer type", { ...sound, rope_parameters: { full_attention: { rope_type: "default" } } }],
    ["too few layer types", { ...qwen, layer_types: ["full_attention"] }],
    [
      "unknown layer type",
      { ...qwen, layer_types: ["full_attention", "linear_attention", "full_attention"] },
    ],
    ["eos past the vocabulary", { ...sound, eos_token_id: 50 }],
    ["a stop token of text", { ...sound, eos_token_id: "</s>" }],
  ])("%s", (name, config) => {
    expect(message(() => specFromConfig(config, "model/config.json"))).toMatchSnapshot(name);
  });
});

describe("checkWeights", () => {
  const spec = specFromConfig(golden["llama"]!.config);
  const sound = expectedWeights(spec).map(({ name, shape }) => [name, zeros("float32", shape)] as const);

  test("accepts a complete store, also with more than is needed", () => {
    expect(() =>
      checkWeights(spec, memoryWeights([...sound, ["rotary.inv_freq", zeros("float32", [2])]]), "model"),
    ).not.toThrow();
  });

  test("lists what is missing or has another shape", () => {
    const spoiled = memoryWeights(
      sound.flatMap(([name, value]) => {
        if (name.includes("layers.2")) return [];
        return [[name, name.endsWith("1.mlp.up_proj.weight") ? zeros("float32", [24, 40]) : value] as const];
      }),
    );
    expect(message(() => checkWeights(spec, spoiled, "model"))).toMatchSnapshot();
  });

  test("explains a missing vocabulary matrix", () => {
    const tied = memoryWeights(sound.filter(([name]) => name !== "lm_head.weight"));
    expect(message(() => checkWeights(spec, tied, "model"))).toMatchSnapshot();
  });
});

describe("GGUF metadata", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "attune-spec-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const zero = (name: string, ...shape: number[]): NonNullable<TestGguf["tensors"]>[number] => ({
    name,
    shape,
    type: 0,
    data: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
  });
  const llama = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 12,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.freq_base": 500000,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  };
  async function specOf(file: TestGguf): Promise<ModelSpec> {
    const path = join(folder, "x.gguf");
    await writeFile(path, ggufBytes(file));
    const gguf = await openGguf(path);
    try {
      return await specFromGguf(gguf);
    } finally {
      await gguf.store.close();
    }
  }

  test("gives the same spec as the configuration of the model it was made from", async () => {
    const spec = await specOf({
      metadata: llama,
      tensors: [zero("token_embd.weight", 5, 8), { ...zero("rope_freqs.weight", 2), data: f32(1, 8) }],
    });
    const fromConfig = specFromConfig({
      model_type: "llama",
      vocab_size: 5,
      hidden_size: 8,
      intermediate_size: 12,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
      rope_theta: 500000,
      tie_word_embeddings: true,
    });
    expect(spec).toEqual({
      ...fromConfig,
      rope: { theta: 500000, scaling: { kind: "factors", factors: [1, 8] } },
    });
    expect([...ropeFrequencies(spec)]).toEqual([1, 500000 ** -0.5 / 8]);
  });

  test("the factors of Llama 3.1 are its scaling", () => {
    const { config, frequencies } = golden["llama 3.1"]!;
    const spec = specFromConfig(config);
    const plain = ropeFrequencies({ ...spec, rope: { ...spec.rope, scaling: { kind: "none" } } });
    const factors = frequencies.map((frequency, i) => plain[i]! / frequency);
    expect(factors[0]).toBeCloseTo(1, 6);
    expect(factors.at(-1)).toBeCloseTo(8, 5);
    const byFactors = ropeFrequencies({
      ...spec,
      rope: { ...spec.rope, scaling: { kind: "factors", factors } },
    });
    for (const [i, frequency] of ropeFrequencies(spec).entries()) {
      expect(Math.abs(byFactors[i]! / frequency - 1)).toBeLessThan(3e-7);
    }
  });

  test("biases, norms and an untied vocabulary matrix show in the tensors (Qwen)", async () => {
    const qwen = Object.fromEntries(
      Object.entries(llama).map(([key, value]) => [key.replace("llama.", "qwen2."), value]),
    );
    const spec = await specOf({
      metadata: { ...qwen, "general.architecture": "qwen2" },
      tensors: [zero("token_embd.weight", 5, 8), zero("output.weight", 5, 8), zero("blk.0.attn_q.bias", 8)],
    });
    expect(spec).toMatchObject({
      family: "qwen2",
      attentionBias: { qkv: true, output: false },
      tiedEmbeddings: false,
    });
  });

  test.each<[string, TestGguf]>([
    ["no architecture", { metadata: {} }],
    ["gemma2", { metadata: { "general.architecture": "gemma2" } }],
    [
      "experts",
      { metadata: { ...llama, "llama.expert_count": 8 }, tensors: [zero("token_embd.weight", 5, 8)] },
    ],
    ["no embeddings", { metadata: llama }],
    [
      "no width",
      { metadata: { ...llama, "llama.embedding_length": "8" }, tensors: [zero("token_embd.weight", 5, 8)] },
    ],
    [
      "yarn",
      {
        metadata: { ...llama, "llama.rope.scaling.type": "yarn" },
        tensors: [zero("token_embd.weight", 5, 8)],
      },
    ],
    [
      "heads by layer",
      {
        metadata: { ...llama, "llama.feed_forward_length": [12.5, 16.5] },
        tensors: [zero("token_embd.weight", 5, 8)],
      },
    ],
    [
      "other rotation",
      { metadata: { ...llama, "llama.rope.dimension_count": 2 }, tensors: [zero("token_embd.weight", 5, 8)] },
    ],
    [
      "factors of another width",
      {
        metadata: llama,
        tensors: [zero("token_embd.weight", 5, 8), { ...zero("rope_freqs.weight", 3), data: f32(1, 1, 1) }],
      },
    ],
    [
      "factor 0",
      {
        metadata: llama,
        tensors: [zero("token_embd.weight", 5, 8), { ...zero("rope_freqs.weight", 2), data: f32(1, 0) }],
      },
    ],
  ])("%s is refused", async (name, file) => {
    const error = await specOf(file).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message.replaceAll(folder, "FOLDER")).toMatchSnapshot(name);
  });
});

test("a sliding window is laid over every layer, but never wider than the model's own", () => {
  const config = { ...golden["mistral"]!.config };
  const full = specFromConfig({ ...config, sliding_window: null });
  const narrowed = withSlidingWindow(full, 7);
  expect(narrowed).toEqual({
    ...full,
    slidingWindow: 7,
    layerAttention: full.layerAttention.map(() => "sliding"),
  });
  const own = specFromConfig({ ...config, sliding_window: 16 });
  expect(withSlidingWindow(own, 16).slidingWindow).toBe(16);
  expect(message(() => withSlidingWindow(own, 17))).toMatchInlineSnapshot(
    `"a sliding window of 17 tokens is wider than the model's own, 16 (training.slidingWindow). Leave it out, or give at most 16."`,
  );
});
