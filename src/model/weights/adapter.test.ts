/** Adapters: PEFT's own files, ours read by PEFT, and every mismatch with the base model. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Tensor, float32, zeros } from "../../compute/tensor/index.ts";
import { UserError, random } from "../../util/index.ts";
import { type Adapter, loraScale, saveAdapter } from "./adapter.ts";
import { loadAdapter } from "./adapter-read.ts";
import { mergeLora, pairForWeight } from "./merge.ts";
import { openSafetensors } from "./safetensors.ts";
import { toWrite, writeSafetensors } from "./safetensors-writer.ts";
import { type WeightStore, memoryWeights } from "./weight-store.ts";

const golden = fileURLToPath(new URL("../../../test/golden/weights/", import.meta.url));
type Deltas = Readonly<Record<string, { readonly shape: number[]; readonly values: number[] }>>;
let record: Readonly<Record<string, Deltas>>;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-adapter-"));
  record = JSON.parse(await readFile(join(golden, "adapter_peft.json"), "utf8"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** The tiny LLaMA of adapter_peft.py: D 16, F 24, H 4, K 2, E 4, two layers. */
function tinyBase(): WeightStore {
  const shapes: Record<string, readonly number[]> = {
    "model.embed_tokens": [32, 16],
    lm_head: [32, 16],
    "model.norm": [16],
  };
  for (const layer of [0, 1]) {
    for (const [name, shape] of Object.entries({
      "self_attn.q_proj": [16, 16],
      "self_attn.k_proj": [8, 16],
      "self_attn.v_proj": [8, 16],
      "self_attn.o_proj": [16, 16],
      "mlp.gate_proj": [24, 16],
      "mlp.up_proj": [24, 16],
      "mlp.down_proj": [16, 24],
    })) {
      shapes[`model.layers.${layer}.${name}`] = shape;
    }
  }
  return memoryWeights(
    Object.entries(shapes).map(([name, shape]) => [`${name}.weight`, zeros("float32", shape)]),
  );
}

async function expectDeltas(adapter: Adapter, deltas: Deltas): Promise<void> {
  const base = tinyBase();
  expect([...adapter.layers.keys()].sort()).toEqual(Object.keys(deltas).sort());
  for (const [module, { shape, values }] of Object.entries(deltas)) {
    const pair = pairForWeight(adapter.layers, `${module}.weight`)!;
    const merged = mergeLora(await base.read(`${module}.weight`), pair);
    expect(merged.shape).toEqual(shape);
    for (const [i, value] of values.entries())
      expect(Math.abs(merged.data[i]! - value)).toBeLessThan(1e-6 * (1 + Math.abs(value)));
  }
}

const noise = (seed: number, shape: readonly number[]): Tensor<"float32"> => {
  const source = random(seed, "adapter test");
  return float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => source.normal()),
  );
};

/** What Attune writes: two ranks, two alphas, rsLoRA. */
function ours(): Adapter {
  return {
    config: {
      rank: 3,
      alpha: 6,
      dropout: 0.1,
      rsLora: true,
      targetModules: ["k_proj", "up_proj"],
      baseModel: "tiny/base",
    },
    layers: new Map([
      [
        "model.layers.0.self_attn.k_proj",
        { a: noise(1, [3, 16]), b: noise(2, [8, 3]), scale: loraScale(6, 3, true) },
      ],
      [
        "model.layers.0.mlp.up_proj",
        { a: noise(3, [2, 16]), b: noise(4, [24, 2]), scale: loraScale(6, 2, true) },
      ],
      [
        "model.layers.1.self_attn.k_proj",
        { a: noise(5, [3, 16]), b: noise(6, [8, 3]), scale: loraScale(5, 3, true) },
      ],
      [
        "model.layers.1.mlp.up_proj",
        { a: noise(7, [3, 16]), b: noise(8, [24, 3]), scale: loraScale(6, 3, true) },
      ],
    ]),
  };
}

describe("PEFT's format, both ways", () => {
  test.each(["peft-adapter", "peft-rank-pattern"])(
    "%s, written by PEFT, merges to PEFT's own weights",
    async (name) => {
      const adapter = await loadAdapter(join(golden, name), tinyBase());
      await expectDeltas(adapter, record[name]!);
    },
  );

  test("settings are read: rank, alpha, dropout, targets, rsLoRA and patterns", async () => {
    const plain = await loadAdapter(join(golden, "peft-adapter"), tinyBase());
    expect(plain.config).toEqual({
      rank: 4,
      alpha: 8,
      dropout: 0.1,
      rsLora: false,
      targetModules: ["q_proj", "v_proj"],
    });
    const patterned = await loadAdapter(join(golden, "peft-rank-pattern"), tinyBase());
    expect(patterned.config.rsLora).toBe(true);
    expect(patterned.layers.get("model.layers.1.self_attn.o_proj")!.scale).toBeCloseTo(5 / Math.sqrt(3), 12);
    expect(patterned.layers.get("model.layers.0.mlp.down_proj")!.scale).toBeCloseTo(6 / Math.sqrt(2), 12);
  });

  test("what we save loads again unchanged, and replaces what was there", async () => {
    const path = join(root, "round");
    await saveAdapter(path, { ...ours(), config: { ...ours().config, alpha: 99 } });
    await saveAdapter(path, ours(), { "note.txt": "grüße" });
    expect((await readdir(root)).filter((name) => name.startsWith("."))).toEqual([]);
    expect(await readFile(join(path, "note.txt"), "utf8")).toBe("grüße");
    const loaded = await loadAdapter(path, tinyBase());
    expect(loaded.config).toEqual(ours().config);
    for (const [module, pair] of ours().layers) {
      const back = loaded.layers.get(module)!;
      expect(back.a).toEqual(pair.a);
      expect(back.b).toEqual(pair.b);
      expect(back.scale).toBeCloseTo(pair.scale, 11);
    }
  });

  test("a failed save leaves the adapter that was there", async () => {
    const path = join(root, "kept");
    await saveAdapter(path, ours());
    await expect(saveAdapter(path, ours(), { "no/such/../../\u0000": "x" })).rejects.toThrow();
    expect((await loadAdapter(path, tinyBase())).layers.size).toBe(4);
    expect((await readdir(root)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("our files are byte for byte those that PEFT was recorded loading, with the same merged weights", async () => {
    const path = join(root, "recorded");
    await saveAdapter(path, ours());
    for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
      expect(await readFile(join(path, file)), file).toEqual(
        await readFile(join(golden, "attune-adapter", file)),
      );
    }
    await expectDeltas(ours(), record["attune-adapter"]!);
  });

  test("PEFT loads what we save", async (ctx) => {
    const python = process.env["ATTUNE_PYTHON"];
    if (python === undefined) return ctx.skip("ATTUNE_PYTHON names no Python with peft");
    const path = join(root, "for-peft");
    await saveAdapter(path, ours());
    const { stdout } = await promisify(execFile)(python, [join(golden, "adapter_peft.py"), "read", path], {
      timeout: 110_000,
      maxBuffer: 1 << 24,
    });
    await expectDeltas(ours(), JSON.parse(stdout.slice(stdout.indexOf("{"))) as Deltas);
  }, 120_000);
});

describe("an adapter that does not fit is refused with one clear message", () => {
  const q = "base_model.model.model.layers.0.self_attn.q_proj";
  /** Spoils PEFT's adapter: settings laid over its configuration, tensors replaced. */
  async function spoiled(
    settings: Readonly<Record<string, unknown>>,
    tensors: Readonly<Record<string, Tensor<"float32"> | undefined>> = {},
  ): Promise<string> {
    const here = await mkdtemp(join(root, "bad-"));
    await cp(join(golden, "peft-adapter"), here, { recursive: true });
    const configPath = join(here, "adapter_config.json");
    const config = { ...JSON.parse(await readFile(configPath, "utf8")), ...settings };
    await writeFile(configPath, JSON.stringify(config));
    const weightsPath = join(here, "adapter_model.safetensors");
    const { store } = await openSafetensors(weightsPath);
    const all = new Map<string, Tensor<"float32">>();
    for (const name of store.names()) all.set(name, await store.read(name));
    await store.close();
    for (const [name, value] of Object.entries(tensors)) {
      if (value === undefined) all.delete(name);
      else all.set(name, value);
    }
    await writeSafetensors(
      weightsPath,
      [...all].map(([name, value]) => toWrite(name, value)),
    );
    return here;
  }

  test.each<
    [string, Readonly<Record<string, unknown>>, Readonly<Record<string, Tensor<"float32"> | undefined>>?]
  >([
    ["rank of the configuration differs", { r: 8 }],
    ["alpha missing", { lora_alpha: undefined }],
    ["rank 0", { r: 0 }],
    ["rank text", { r: "16" }],
    ["another method", { peft_type: "IA3" }],
    ["another task", { task_type: "SEQ_CLS" }],
    ["DoRA", { use_dora: true }],
    ["biases", { bias: "lora_only" }],
    ["PiSSA", { init_lora_weights: "pissa_niter_16" }],
    ["saved modules", { modules_to_save: ["embed_tokens"] }],
    ["transposed layers", { fan_in_fan_out: true }],
    ["an option of the future", { use_quantum: { qubits: 3 } }],
    ["regular expression as pattern", { rank_pattern: { "(a+)+$": 3 } }],
    [
      "unknown module",
      {},
      { "base_model.model.model.layers.0.self_attn.q_prj.lora_A.weight": zeros("float32", [4, 16]) },
    ],
    ["embeddings", {}, { "base_model.model.model.embed_tokens.lora_A.weight": zeros("float32", [4, 16]) }],
    ["norm", {}, { "base_model.model.model.norm.lora_A.weight": zeros("float32", [4, 16]) }],
    ["another kind of weight", {}, { [`${q}.lora_magnitude_vector.weight`]: zeros("float32", [16]) }],
    ["A of another width", {}, { [`${q}.lora_A.weight`]: zeros("float32", [4, 32]) }],
    ["B of another rank", {}, { [`${q}.lora_B.weight`]: zeros("float32", [16, 5]) }],
    ["A without B", {}, { [`${q}.lora_B.weight`]: undefined }],
    ["a layer missing", {}, { [`${q}.lora_A.weight`]: undefined, [`${q}.lora_B.weight`]: undefined }],
    ["not a number", {}, { [`${q}.lora_A.weight`]: float32([4, 16], new Float32Array(64).fill(Number.NaN)) }],
  ])("%s", async (name, settings, tensors) => {
    const here = await spoiled(settings, tensors);
    const error = await loadAdapter(here, tinyBase()).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message.replaceAll(here, "ADAPTER")).toMatchSnapshot(name);
  });

  test("layers_to_transform limits the layers: a missing one is no error, and targets become whole names", async () => {
    const gone = { [`${q}.lora_A.weight`]: undefined, [`${q}.lora_B.weight`]: undefined };
    const adapter = await loadAdapter(await spoiled({ layers_to_transform: [0, 1] }, gone), tinyBase());
    expect([...adapter.config.targetModules].sort()).toEqual([...adapter.layers.keys()].sort());
    expect(adapter.layers.size).toBe(3);
  });

  test("a folder without an adapter, one with a pickle file only, and a cut-off file", async () => {
    const here = await spoiled({});
    await writeFile(join(here, "adapter_model.safetensors"), Buffer.alloc(20));
    await expect(loadAdapter(here, tinyBase())).rejects.toThrow(/not a sound safetensors file/);
    await rm(join(here, "adapter_model.safetensors"));
    await expect(loadAdapter(here, tinyBase())).rejects.toThrow(/the weights .* does not exist/);
    await writeFile(join(here, "adapter_model.bin"), "x");
    await expect(loadAdapter(here, tinyBase())).rejects.toThrow(/PyTorch pickle/);
    await rm(join(here, "adapter_config.json"));
    await expect(loadAdapter(here, tinyBase())).rejects.toThrow(
      /the adapter's configuration .* does not exist/,
    );
  });
});

describe("merging", () => {
  test("is W + scale · B·A, and leaves W alone", () => {
    const w = float32([2, 3], [1, 2, 3, 4, 5, 6]);
    const merged = mergeLora(w, { a: float32([1, 3], [1, 0, -1]), b: float32([2, 1], [10, 20]), scale: 0.5 });
    expect([...merged.data]).toEqual([6, 2, -2, 14, 5, -4]);
    expect([...w.data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(() => mergeLora(w, { a: float32([1, 2], [1, 0]), b: float32([2, 1], [1, 1]), scale: 1 })).toThrow(
      /cannot merge/,
    );
  });
});
