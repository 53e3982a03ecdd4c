/** One mode of bench/modes.ts in a process of its own, so that its peak of memory is its own: prints a line of JSON. */
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { adamWDefaults } from "../src/compute/optim/index.ts";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import { dtypes, elementCount } from "../src/compute/tensor/index.ts";
import type { ResidentModel } from "../src/model/decoder/index.ts";
import { loadFrozenModel } from "../src/model/decoder/index.ts";
import {
  type PreparedRun,
  backwardOf,
  calibrateBase,
  calibrationRows,
  loadBase,
  prepareRun,
  trainConfigSchema,
} from "../src/project/index.ts";
import { type TrainingEngine, initialAdapter, trainingEngine } from "../src/train/index.ts";
import { parseJson, random } from "../src/util/index.ts";
import { peakBytes } from "./machine.ts";
import { type Detail, type Mode, type SideJob, details, nameOf } from "./modes-list.ts";

const job = parseJson(process.argv[2] ?? "", "the job") as SideJob;

const config = trainConfigSchema.parse({
  model: job.model,
  data: { train: job.data, validationShare: 0.1 },
  seed: job.seed,
  lora: { dropout: 0 },
  training: {
    steps: job.steps,
    batch: job.batch,
    microTokens: job.microTokens,
    maxLength: job.maxLength,
    ...job.mode,
  },
  ...(job.threads === undefined ? {} : { runtime: { threads: job.threads } }),
});

function engineOf(model: ResidentModel, { plan }: PreparedRun): Promise<TrainingEngine> {
  const adapted = new Set(plan.layers.map(({ path }) => path));
  return trainingEngine(model, initialAdapter(plan.layout, job.seed), {
    layout: plan.layout,
    adapter: { rank: config.lora.rank, scale: plan.scale, adapts: (path) => adapted.has(path) },
    dropout: 0,
    seed: job.seed,
    optimizer: adamWDefaults,
    ...plan.chunks,
    recompute: "none",
    ...(config.training.base === "int8" ? { base: "int8", backward: backwardOf(config.training) } : {}),
  });
}

/** An adapter whose B is not zero, for else A has no gradient. */
function stirred({ plan: { layout } }: PreparedRun): Float32Array {
  const flat = initialAdapter(layout, job.seed);
  const dice = random(job.seed, "stirred adapter");
  for (const { name, offset, size } of layout.entries) {
    if (!name.endsWith("lora_B.weight")) continue;
    for (let i = offset; i < offset + size; i++) flat[i] = 0.01 * dice.normal();
  }
  return flat;
}

interface Slope {
  readonly loss: number;
  readonly gradient: Float32Array;
}

/** Loss and gradient of the first batch at the stirred adapter; leaves the engine at the initial one. */
async function slopeOf(engine: TrainingEngine, prepared: PreparedRun): Promise<Slope> {
  const initial = await engine.state();
  await engine.restore({ ...initial, parameters: stirred(prepared) });
  const batch = prepared.plan.training.batch(0);
  let loss = 0;
  for (const micro of batch.microBatches) loss += await engine.accumulate(micro, 1 / batch.weight, 0);
  const gradient = await engine.gradient();
  await engine.restore(initial);
  return { loss, gradient };
}

/** Of a gradient against the float32 one: the cosine between them, and ‖difference‖ / ‖float32‖. */
function compare(a: Float32Array, b: Float32Array): { cosine: number; relative: number } {
  let [dot, aa, bb, error] = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
    error += (a[i]! - b[i]!) ** 2;
  }
  return { cosine: dot / Math.sqrt(aa * bb), relative: Math.sqrt(error / bb) };
}

const reference = join(job.work, "float32-slope");

async function readReference(): Promise<Slope> {
  const bytes = await readFile(`${reference}.f32`);
  const gradient = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const { loss } = parseJson(await readFile(`${reference}.json`, "utf8"), reference) as { loss: number };
  return { loss, gradient };
}

function heldBytes(model: ResidentModel): number {
  return [...model.weights.values()].reduce(
    (sum, { dtype, shape }) => sum + dtypes[dtype].bytes * elementCount(shape),
    0,
  );
}

async function train(mode: Mode): Promise<Record<string, unknown>> {
  await using prepared = await prepareRun(config);
  const { plan, model: chat } = prepared;
  await using runtime = await onnxRuntime(job.threads === undefined ? {} : { threads: job.threads });
  const model = await loadBase(runtime, chat, config.training, {
    calibrated: await calibrateBase(runtime, chat, config.training, () =>
      calibrationRows(plan.training.batch(0).microBatches.flat()),
    ),
  });
  await using engine = await engineOf(model, prepared);
  const slope = await slopeOf(engine, prepared);
  if (nameOf(mode) === "float32") {
    await writeFile(`${reference}.f32`, new Uint8Array(slope.gradient.buffer));
    await writeFile(`${reference}.json`, JSON.stringify({ loss: slope.loss }));
  }
  const exact = await readReference();
  let [tokens, seconds, draw] = [0, 0, 0];
  const losses: number[] = [];
  for (let step = 0; step < job.steps; step++) {
    const batch = plan.training.batch(step);
    const began = performance.now();
    let loss = 0;
    for (const micro of batch.microBatches) loss += await engine.accumulate(micro, 1 / batch.weight, draw++);
    await engine.update({ learningRate: 3e-4, weightDecay: 0.01, maxNorm: 1, update: step + 1 });
    seconds += (performance.now() - began) / 1000;
    tokens += batch.tokens;
    losses.push(loss);
  }
  const { parameters } = await engine.state();
  await writeFile(join(job.work, `${nameOf(mode)}.adapter`), new Uint8Array(parameters.slice().buffer));
  return {
    tokensPerSecond: tokens / seconds,
    heldBytes: heldBytes(model),
    peakBytes: peakBytes(),
    lossError: slope.loss / exact.loss - 1,
    ...compare(slope.gradient, exact.gradient),
    lastLoss: losses.at(-1),
  };
}

/** Validation losses on the float32 base: of the untrained adapter, and of each mode's. */
async function judge(modes: readonly string[]): Promise<Record<string, unknown>> {
  await using prepared = await prepareRun(config);
  const { plan, model: chat } = prepared;
  await using runtime = await onnxRuntime(job.threads === undefined ? {} : { threads: job.threads });
  const model = await loadBase(runtime, chat, config.training);
  await using engine = await engineOf(model, prepared);
  const state = await engine.state();
  const validate = async (parameters: Float32Array): Promise<number> => {
    await engine.restore({ ...state, parameters });
    let [sum, weight] = [0, 0];
    for (const micro of plan.validation[0]!.microBatches.slice(0, job.validationBatches)) {
      sum += await engine.loss(micro);
      for (const { weights } of micro) for (const one of Array.from(weights)) weight += one;
    }
    return sum / weight;
  };
  const validation: Record<string, number> = { untrained: await validate(state.parameters) };
  for (const name of modes) {
    const path = join(job.work, `${name}.adapter`);
    await access(path);
    const bytes = await readFile(path);
    validation[name] = await validate(
      new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
    );
  }
  return { validation };
}

/** Loss and gradient of the first batch over bits, block sizes and layers. */
async function detail(rows: readonly Detail[]): Promise<Record<string, unknown>> {
  await using prepared = await prepareRun(config);
  const { model: chat } = prepared;
  await using runtime = await onnxRuntime(job.threads === undefined ? {} : { threads: job.threads });
  const exact = await readReference();
  const measured: Record<string, unknown>[] = [];
  for (const { name, frozen } of rows) {
    const model = await loadFrozenModel(runtime, chat.spec, chat.store, frozen);
    {
      await using engine = await engineOf(model, prepared);
      const slope = await slopeOf(engine, prepared);
      measured.push({
        name,
        lossError: slope.loss / exact.loss - 1,
        ...compare(slope.gradient, exact.gradient),
        heldBytes: heldBytes(model),
      });
    }
    for (const weight of model.weights.values()) await runtime.release(weight);
  }
  return { details: measured };
}

const result =
  job.role === "train"
    ? await train(job.mode)
    : job.role === "judge"
      ? await judge(job.modes)
      : await detail(details());
process.stdout.write(`${JSON.stringify(result)}\n`);
