/** Attune's side of bench/train-step.ts: one step of the training engine a turn. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { GraphBuilder, optimize, symbolSizes, workCounter } from "../src/compute/graph/index.ts";
import { type DeviceTensor, type Runtime, onnxRuntime } from "../src/compute/runtime/index.ts";
import { adamWDefaults } from "../src/compute/optim/index.ts";
import { float32 } from "../src/compute/tensor/index.ts";
import {
  type ModelSpec,
  type Recompute,
  type ResidentModel,
  type Sequence,
  flatBatch,
  lossGraph,
  microBatches,
  specFromConfig,
} from "../src/model/decoder/index.ts";
import { parameterLayout, parameterViews } from "../src/model/nn/index.ts";
import { openCheckpoint, openSafetensors } from "../src/model/weights/index.ts";
import {
  type TrainingEngine,
  adaptedLayers,
  chunksFor,
  inEachLane,
  loraParameters,
  trainingEngine,
} from "../src/train/index.ts";
import { calibrateBase, calibrationRows, loadBase, trainConfigSchema } from "../src/project/index.ts";
import { parseJson, readTextFile } from "../src/util/index.ts";
import { median, peakBytes } from "./machine.ts";
import { type Answer, serveTurns } from "./turns.ts";
import { type Row, readBatches } from "./workload.ts";

const { values } = parseArgs({
  options: {
    work: { type: "string", default: "" },
    batches: { type: "string", default: "batches.json" },
    threads: { type: "string", default: "1" },
    rank: { type: "string", default: "16" },
    alpha: { type: "string", default: "32" },
    targets: { type: "string", default: "q_proj,v_proj" },
    dropout: { type: "string", default: "0" },
    "micro-tokens": { type: "string", default: "700" },
    "learning-rate": { type: "string", default: "3e-4" },
    lanes: { type: "string", default: "2" },
    checkpointing: { type: "string", default: "none" },
    base: { type: "string", default: "float32" },
  },
});

async function main(): Promise<void> {
  const rank = Number(values.rank);
  const dropout = Number(values.dropout);
  const microTokens = Number(values["micro-tokens"]);
  const lanes = Number(values.lanes);
  const batches = await readBatches(values.work, values.batches);
  const modelFolder = join(values.work, "model");
  const configPath = join(modelFolder, "config.json");
  const spec = specFromConfig(
    parseJson(await readTextFile(configPath, "the config"), configPath),
    configPath,
  );
  const layers = adaptedLayers(spec, values.targets.split(","));
  const layout = parameterLayout(loraParameters(layers, rank));
  const adapted = new Set(layers.map(({ path }) => path));
  const adapter = { rank, scale: Number(values.alpha) / rank, adapts: (path: string) => adapted.has(path) };

  const plans = batches.training.map((rows) => planOf(rows, microTokens, lanes));
  const longest = Math.max(
    ...[...batches.training, ...batches.validation].flat().map(({ ids }) => ids.length),
  );
  const supervised = Math.max(
    ...plans.flatMap(({ parts }) => parts.map((part) => part.reduce((sum, row) => sum + targetsOf(row), 0))),
  );
  const chunks = chunksFor(longest, supervised);

  const runtime = await onnxRuntime({ threads: Number(values.threads) });
  const store = await openCheckpoint(modelFolder);
  const training = trainConfigSchema.shape.training.parse({ base: values.base });
  // As a run of 16 replies a step would, however many there are here.
  const first = calibrationRows(plans.flatMap(({ parts }) => parts.flat()).slice(0, 16));
  const resident = await loadBase(runtime, { spec, store }, training, {
    calibrated: await calibrateBase(runtime, { spec, store }, training, () => first),
  });
  await store.close();
  const engineOf = (
    model: ResidentModel,
    parameters: Float32Array,
    base: "float32" | "int8",
  ): Promise<TrainingEngine> =>
    trainingEngine(model, parameters, {
      layout,
      adapter,
      dropout,
      seed: 0,
      optimizer: adamWDefaults,
      ...chunks,
      recompute: values.checkpointing as Recompute,
      base,
      lanes,
    });
  const engine = await engineOf(
    resident,
    await readAdapter(join(values.work, "adapter.safetensors")),
    values.base === "int8" ? "int8" : "float32",
  );
  let draws = 0;
  let updates = 0;

  async function readAdapter(path: string): Promise<Float32Array> {
    const flat = new Float32Array(layout.size);
    const file = await openSafetensors(path);
    for (const [name, view] of parameterViews(layout, flat))
      view.set((await file.store.read(`base_model.model.${name}`)).data);
    await file.store.close();
    return flat;
  }

  async function step(index: number): Promise<Answer> {
    const { parts, tokens, weight } = plans[index % plans.length]!;
    const began = performance.now();
    const shares: number[] = [];
    const losses = await inEachLane(engine, parts, async (part, i, lane) => {
      const from = performance.now();
      const one = await engine.accumulate(part, 1 / weight, draws + i, { lane });
      // So much of the step's time is this micro-batch's: the lanes share it.
      shares[i] = (performance.now() - from) / 1000 / lanes;
      return one;
    });
    draws += parts.length;
    const loss = losses.reduce((sum, one) => sum + one, 0);
    const gradientNorm = await engine.update({
      learningRate: Number(values["learning-rate"]),
      weightDecay: 0.01,
      maxNorm: 1,
      update: ++updates,
    });
    // A lane that waits, and the update.
    const rest = (performance.now() - began) / 1000 - shares.reduce((sum, share) => sum + share, 0);
    return { seconds: [...shares, rest], loss, gradientNorm, tokens };
  }

  /** Writes the gradient [N] of the summed losses of these batches as little-endian float32, in the adapter's order. */
  async function gradient(name: string, file: string): Promise<Record<string, number>> {
    let loss = 0;
    for (const rows of (await readBatches(values.work, name)).training)
      for (const part of planOf(rows, microTokens, lanes).parts)
        loss += await engine.accumulate(part, 1, draws++);
    await writeFile(file, new Uint8Array((await engine.gradient()).buffer));
    await engine.restore(await engine.state());
    return { loss };
  }

  async function validate(by = engine): Promise<Record<string, number>> {
    let [sum, weight] = [0, 0];
    for (const rows of batches.validation) {
      const plan = planOf(rows, microTokens, lanes);
      const losses = await inEachLane(by, plan.parts, (part, _, lane) => by.loss(part, { lane }));
      sum += losses.reduce((all, one) => all + one, 0);
      weight += plan.weight;
    }
    return { loss: sum / weight };
  }

  /** The loss of the adapter as it stands on the float32 base, whatever it is trained on. */
  async function validateOnFloat32(): Promise<Record<string, number>> {
    const store = await openCheckpoint(modelFolder);
    const model = await loadBase(
      runtime,
      { spec, store },
      trainConfigSchema.shape.training.parse({ base: "float32" }),
    );
    await store.close();
    await using plain = await engineOf(model, (await engine.state()).parameters, "float32");
    return await validate(plain);
  }

  /** Operations of a step's matrix products, and the rate that one such product reaches alone. */
  async function ceiling(from: number): Promise<Record<string, number>> {
    const graph = optimize(
      lossGraph(spec, { layout, adapter, dropout, gradients: true, ...chunks, recompute: "none" }),
    );
    const measured = plans.slice(from);
    const count = workCounter(graph);
    const work = measured.flatMap(({ parts }) =>
      parts.map((part) => {
        const { feeds, longest } = flatBatch(part, spec, chunks);
        // The rotary tables are as long as it takes.
        return count(new Map([...symbolSizes(graph, feeds), ["P", longest]])).operations;
      }),
    );
    const tokens = Math.round(median(measured.flatMap(({ parts }) => parts.map(tokensOf))));
    return {
      linearOperations: work.reduce((sum, { matrix }) => sum + matrix, 0) / measured.length,
      attentionOperations: work.reduce((sum, { heads }) => sum + heads, 0) / measured.length,
      ceilingOperationsPerSecond: await matmulRate(runtime, spec, tokens),
      ceilingTokens: tokens,
    };
  }

  await serveTurns(
    { version: runtime.name, trainableParameters: layout.size, base: values.base },
    async (request) => {
      switch (request["do"]) {
        case "step":
          return step(Number(request["step"]));
        case "validate":
          return validate();
        case "validate-on-float32":
          return validateOnFloat32();
        case "gradient":
          return gradient(String(request["batches"]), String(request["file"]));
        case "ceiling":
          return ceiling(Number(request["from"]));
        case "peak":
          return { peakBytes: peakBytes() };
        default:
          throw new Error(`unknown request ${JSON.stringify(request)}`);
      }
    },
  );
  await engine[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
}

interface StepPlan {
  readonly parts: readonly (readonly Sequence[])[];
  readonly tokens: number;
  readonly weight: number;
}

function planOf(rows: readonly Row[], microTokens: number, lanes: number): StepPlan {
  const sequences = rows.map(({ ids, targets }, index) => {
    const weights = new Float32Array(ids.length);
    for (const target of targets) weights[target] = 1;
    return { ids: Int32Array.from(ids), weights, replies: 1, rows: [index] };
  });
  return {
    parts: microBatches(sequences, microTokens, { lanes }),
    tokens: tokensOf(sequences),
    weight: rows.reduce((sum, { targets }) => sum + targets.length, 0),
  };
}

function tokensOf(sequences: readonly Sequence[]): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length, 0);
}

function targetsOf({ weights }: Sequence): number {
  return Array.from(weights).reduce((count, weight) => count + (weight > 0 ? 1 : 0), 0);
}

/** The better of the two feed-forward products [T, D] × [D, F] and [T, F] × [F, D], best of ten. */
async function matmulRate(runtime: Runtime, spec: ModelSpec, tokens: number): Promise<number> {
  let best = 0;
  for (const [inner, outer] of [
    [spec.hiddenSize, spec.mlpWidth],
    [spec.mlpWidth, spec.hiddenSize],
  ] as const) {
    const g = new GraphBuilder();
    const product = g.matmul(
      g.input("x", "float32", [tokens, inner]),
      g.input("w", "float32", [outer, inner]),
      { transB: true },
    );
    // One row comes back: fetching the whole product would be timed with it.
    g.output("row", g.slice(product, 0, 0, 1));
    const program = await runtime.compile(g.build(), { name: "ceiling", passes: [] });
    const filled = (rows: number, columns: number): Promise<DeviceTensor> =>
      runtime.upload(
        float32(
          [rows, columns],
          new Float32Array(rows * columns).map((_, i) => (i % 13) - 6),
        ),
      );
    const feeds = { x: await filled(tokens, inner), w: await filled(outer, inner) };
    for (let run = 0; run < 10; run++) {
      const { seconds } = await program.run(feeds);
      best = Math.max(best, (2 * tokens * inner * outer) / seconds);
    }
    for (const feed of Object.values(feeds)) await runtime.release(feed);
    await program[Symbol.asyncDispose]();
  }
  return best;
}

await main();
