/** One QLoRA step at the shapes of Llama-2-7B on random 4-bit weights: time and peak memory of a row of 256 tokens. */
import { randomFillSync } from "node:crypto";
import { Command } from "commander";
import { adamWDefaults } from "../src/compute/optim/index.ts";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import { elementCount, float32 } from "../src/compute/tensor/index.ts";
import {
  type FrozenBase,
  type ModelSpec,
  expectedWeights,
  frozenBytes,
  loadFrozenModel,
  specFromConfig,
} from "../src/model/decoder/index.ts";
import { parameterLayout } from "../src/model/nn/index.ts";
import { type WeightStore, memoryWeights, storageBytes, storageFormats } from "../src/model/weights/index.ts";
import {
  adaptedLayers,
  chunksFor,
  initialAdapter,
  loraParameters,
  memoryPredictor,
  trainingEngine,
} from "../src/train/index.ts";
import { UserError, formatBytes } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, peakBytes, processorName } from "./machine.ts";

interface Flags {
  readonly layers: number;
  readonly tokens: number;
  readonly steps: number;
  readonly base: string;
  readonly backward: string;
  readonly blockSize: number;
  readonly threads?: number;
}

export function sevenBCommand(): Command {
  return new Command("seven-b")
    .description("a training step at the shapes of Llama-2-7B, 4-bit base, every block recomputed")
    .option("--layers <n>", "blocks of the model; fewer of them to extrapolate from", count, 32)
    .option("--tokens <n>", "length of the one row", count, 256)
    .option("--steps <n>", "steps; the first also touches fresh memory", count, 2)
    .option(
      "--base <name>",
      "stored (random Q4_0 blocks), int4 or nf4 (quantised from random floats)",
      "stored",
    )
    .option("--backward <name>", "float32 or int8", "float32")
    .option("--block-size <n>", "weights that share a scale, for int4 and nf4", count, 64)
    .option("--threads <n>", "threads; default: the physical cores", count)
    .action(measure);
}

function llama7b(layers: number): ModelSpec {
  return specFromConfig({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: layers,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  });
}

async function measure(flags: Flags): Promise<void> {
  const base = flags.base as FrozenBase["base"];
  if (!["stored", "int4", "nf4"].includes(base))
    throw new UserError(`--base is ${flags.base}; it must be one of stored, int4, nf4`);
  const backward = flags.backward === "int8" ? "int8" : "float32";
  const frozen: FrozenBase = { base, backward, blockSize: flags.blockSize };
  const spec = llama7b(flags.layers);
  const { tokens } = flags;
  const store = randomStore(spec, base === "stored");
  const say = (line: string): void => void process.stdout.write(`${line}\n`);

  const processBytes = process.memoryUsage.rss();
  await using runtime = await onnxRuntime(flags.threads === undefined ? {} : { threads: flags.threads });
  let began = performance.now();
  const model = await loadFrozenModel(runtime, spec, store, frozen);
  const loadSeconds = (performance.now() - began) / 1000;
  const loadedPeak = peakBytes();
  const layers = adaptedLayers(spec, ["q_proj", "v_proj"]);
  const adapted = new Set(layers.map(({ path }) => path));
  const layout = parameterLayout(loraParameters(layers, 16));
  const chunks = chunksFor(tokens, tokens >> 1);
  began = performance.now();
  const options = {
    layout,
    adapter: { rank: 16, scale: 2, adapts: (path: string) => adapted.has(path) },
    dropout: 0,
    seed: 1,
    optimizer: adamWDefaults,
    ...chunks,
    recompute: "blocks",
  } as const;
  await using engine = await trainingEngine(model, initialAdapter(layout, 1), options);
  const compileSeconds = (performance.now() - began) / 1000;
  const supervised = tokens >> 1;
  const row = {
    ids: Array.from({ length: tokens }, (_, t) => (t * 7919) % spec.vocabulary),
    weights: Array.from({ length: tokens }, (_, t) => Number(t >= tokens - supervised)),
  };
  const seconds: number[] = [];
  const processorSeconds: number[] = [];
  let loss = Number.NaN;
  for (let step = 1; step <= flags.steps; step++) {
    began = performance.now();
    const used = process.cpuUsage();
    loss = await engine.accumulate([row], 1 / supervised, step);
    await engine.update({ learningRate: 3e-4, weightDecay: 0.01, maxNorm: 1, update: step });
    seconds.push((performance.now() - began) / 1000);
    const { user, system } = process.cpuUsage(used);
    processorSeconds.push((user + system) / 1e6);
  }
  const { weights } = frozenBytes(spec, store, frozen);
  const expected = memoryPredictor({ model, options, processBytes, weightBytes: weights }).predict({
    ...chunks,
    recompute: "blocks",
    training: [[[row]]],
    validation: [],
  });
  say(
    `seven-b: ${spec.layers} blocks, a row of ${tokens} tokens, base ${base}, backward ${backward}, LoRA q,v rank 16; ${processorName()}, ${runtime.threads} threads, load ${loadAverage()}`,
  );
  say(
    `weights ${formatBytes(weights)} in ${loadSeconds.toFixed(1)} s, graph in ${compileSeconds.toFixed(1)} s; steps ${seconds.map((s) => s.toFixed(1)).join(", ")} s (${(tokens / Math.min(...seconds)).toFixed(1)} tokens/s; ${processorSeconds.map((s) => s.toFixed(1)).join(", ")} s of processor time), loss ${loss.toFixed(3)}`,
  );
  say(
    `peak ${formatBytes(peakBytes())} (${formatBytes(loadedPeak)} after loading); predicted ${formatBytes(expected.totalBytes)}`,
  );
}

/** Weights that are made when they are read: blocks of random codes under small scales, or small random floats. */
function randomStore(spec: ModelSpec, stored: boolean): WeightStore {
  const shapes = new Map(expectedWeights(spec).map(({ name, shape }) => [name, shape]));
  const isLinear = (name: string): boolean => name.includes("_proj");
  const storageOf = (name: string): "Q4_0" | "F32" => (stored && isLinear(name) ? "Q4_0" : "F32");
  const info = (name: string) => {
    const shape = shapes.get(name)!;
    const storage = storageOf(name);
    return { storage, shape, bytes: storageBytes(storage, elementCount(shape)), readable: true };
  };
  return {
    ...memoryWeights([]),
    names: () => [...shapes.keys()],
    find: (name) => (shapes.has(name) ? info(name) : undefined),
    info,
    read: async (name) => {
      const shape = shapes.get(name)!;
      const values = new Float32Array(elementCount(shape));
      if (name.includes("norm")) return float32(shape, values.fill(1));
      let state = 1 + name.length;
      for (let i = 0; i < values.length; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
        values[i] = state * (0.03 / 2 ** 31);
      }
      return float32(shape, values);
    },
    readRaw: async (name) => {
      const { shape, bytes: size } = info(name);
      const bytes = new Uint8Array(size);
      randomFillSync(bytes);
      // A half-precision 0.0039 above codes of −8 to 7.
      const { blockBytes } = storageFormats.Q4_0;
      for (let at = 0; at < size; at += blockBytes) bytes.set([0x00, 0x1c], at);
      return { storage: storageOf(name), shape, bytes };
    },
  };
}
