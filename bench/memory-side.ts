/** One variant of bench/memory.ts in a process of its own: peak memory, time, loss and the first gradient. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import { adamWDefaults } from "../src/compute/optim/index.ts";
import {
  type Recompute,
  loadHalfModel,
  loadResidentModel,
  microBatches,
  specFromConfig,
} from "../src/model/decoder/index.ts";
import { parameterLayout, parameterViews } from "../src/model/nn/index.ts";
import { openCheckpoint, openSafetensors } from "../src/model/weights/index.ts";
import {
  type Numerics,
  adaptedLayers,
  chunksFor,
  halfTypes,
  loraParameters,
  trainingEngine,
} from "../src/train/index.ts";
import { parseJson, readTextFile } from "../src/util/index.ts";
import { peakBytes } from "./machine.ts";
import { readBatches } from "./workload.ts";

const { values } = parseArgs({
  options: {
    work: { type: "string", default: "" },
    threads: { type: "string", default: "1" },
    steps: { type: "string", default: "2" },
    dropout: { type: "string", default: "0" },
    "micro-tokens": { type: "string", default: "700" },
    precision: { type: "string", default: "float32" },
    activations: { type: "string", default: "float32" },
    checkpointing: { type: "string", default: "none" },
    gradient: { type: "string", default: "" },
  },
});

const rank = 16;
const numerics = {
  precision: values.precision,
  activations: values.activations,
  products: "rounded",
} as Numerics;
const folder = join(values.work, "model");
const configPath = join(folder, "config.json");
const spec = specFromConfig(parseJson(await readTextFile(configPath, "the config"), configPath), configPath);
const layers = adaptedLayers(spec, ["q_proj", "v_proj"]);
const adapted = new Set(layers.map(({ path }) => path));
const layout = parameterLayout(loraParameters(layers, rank));
const initial = new Float32Array(layout.size);
const file = await openSafetensors(join(values.work, "adapter.safetensors"));
for (const [name, view] of parameterViews(layout, initial))
  view.set((await file.store.read(`base_model.model.${name}`)).data);
await file.store.close();

const { training } = await readBatches(values.work);
const plans = training.map((rows) => {
  const sequences = rows.map(({ ids, targets }, row) => {
    const weights = new Float32Array(ids.length);
    for (const target of targets) weights[target] = 1;
    return { ids: Int32Array.from(ids), weights, replies: 1, rows: [row] };
  });
  return {
    parts: microBatches(sequences, Number(values["micro-tokens"])),
    weight: rows.reduce((sum, { targets }) => sum + targets.length, 0),
  };
});
const longest = Math.max(...training.flat().map(({ ids }) => ids.length));
const supervised = Math.max(
  ...plans.flatMap(({ parts }) =>
    parts.map((part) => part.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b, 0), 0)),
  ),
);

await using runtime = await onnxRuntime({ threads: Number(values.threads) });
const store = await openCheckpoint(folder);
const model =
  numerics.precision === "float32"
    ? await loadResidentModel(runtime, spec, store)
    : await loadHalfModel(runtime, spec, store, {
        half: halfTypes[numerics.precision],
        products: numerics.products,
      });
await store.close();
const loadedBytes = peakBytes();
await using engine = await trainingEngine(model, initial, {
  layout,
  adapter: { rank, scale: 2, adapts: (path) => adapted.has(path) },
  dropout: Number(values.dropout),
  seed: 0,
  optimizer: adamWDefaults,
  ...chunksFor(longest, supervised),
  recompute: values.checkpointing as Recompute,
  numerics,
});
const gradientScale = numerics.precision === "fp16" ? 65_536 : 1;
const seconds: number[] = [];
const losses: number[] = [];
let [draws, updates] = [0, 0];
for (let step = 0; step < Number(values.steps); step++) {
  const { parts, weight } = plans[step % plans.length]!;
  const began = performance.now();
  let loss = 0;
  for (const part of parts) loss += await engine.accumulate(part, 1 / weight, draws++, { gradientScale });
  if (step === 0 && values.gradient !== "") {
    const gradient = (await engine.gradient()).map((value) => value / gradientScale);
    await writeFile(values.gradient, new Uint8Array(gradient.buffer));
  }
  await engine.update({
    learningRate: 3e-4,
    weightDecay: 0.01,
    maxNorm: 1,
    update: ++updates,
    gradientScale,
  });
  seconds.push((performance.now() - began) / 1000);
  losses.push(loss);
}
process.stdout.write(`${JSON.stringify({ peakBytes: peakBytes(), loadedBytes, seconds, losses })}\n`);
