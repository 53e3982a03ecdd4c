/** Gradients of a base beside those of the float32 one, at an adapter that both parts of have a gradient. */
import { adamWDefaults } from "../src/compute/optim/index.ts";
import type { ResidentModel } from "../src/model/decoder/index.ts";
import { type PreparedRun, type TrainConfig, backwardOf, trainConfigSchema } from "../src/project/index.ts";
import { type TrainingEngine, initialAdapter, trainingEngine } from "../src/train/index.ts";
import { random } from "../src/util/index.ts";

/** A run of either benchmark: all that they do not vary. */
export function runConfig(
  { model, data, seed }: { readonly model: string; readonly data: string; readonly seed: number },
  training: Readonly<Record<string, unknown>>,
  threads?: number,
): TrainConfig {
  return trainConfigSchema.parse({
    model,
    data: { train: data, validationShare: 0.1 },
    seed,
    lora: { dropout: 0 },
    training,
    ...(threads === undefined ? {} : { runtime: { threads } }),
  });
}

/** Over `model`, which is held as `training` says. */
export function engineOf(
  model: ResidentModel,
  { plan }: PreparedRun,
  { seed, lora, training }: Pick<TrainConfig, "seed" | "lora" | "training">,
): Promise<TrainingEngine> {
  const adapted = new Set(plan.layers.map(({ path }) => path));
  return trainingEngine(model, initialAdapter(plan.layout, seed), {
    layout: plan.layout,
    adapter: { rank: lora.rank, scale: plan.scale, adapts: (path) => adapted.has(path) },
    dropout: 0,
    seed,
    optimizer: adamWDefaults,
    ...plan.chunks,
    recompute: training.checkpointing,
    lanes: training.lanes ?? 1,
    ...(training.base === "int8" ? { base: "int8", backward: backwardOf(training) } : {}),
  });
}

/** An adapter whose B is not zero, for else A has no gradient. */
function stirred({ plan: { layout } }: PreparedRun, seed: number): Float32Array {
  const flat = initialAdapter(layout, seed);
  const dice = random(seed, "stirred adapter");
  for (const { name, offset, size } of layout.entries) {
    if (!name.endsWith("lora_B.weight")) continue;
    for (let i = offset; i < offset + size; i++) flat[i] = 0.01 * dice.normal();
  }
  return flat;
}

export interface Slope {
  readonly loss: number;
  readonly gradient: Float32Array;
}

/** Loss and gradient of the first so many batches at the stirred adapter; leaves the engine as it was. */
export async function slopesOf(
  engine: TrainingEngine,
  prepared: PreparedRun,
  seed: number,
  batches: number,
): Promise<readonly Slope[]> {
  const initial = await engine.state();
  const slopes: Slope[] = [];
  for (let step = 0; step < batches; step++) {
    await engine.restore({ ...initial, parameters: stirred(prepared, seed) });
    const batch = prepared.plan.training.batch(step);
    let loss = 0;
    for (const micro of batch.microBatches) loss += await engine.accumulate(micro, 1 / batch.weight, 0);
    slopes.push({ loss, gradient: await engine.gradient() });
  }
  await engine.restore(initial);
  return slopes;
}

/** Of a gradient against the float32 one: the cosine between them, and ‖difference‖ / ‖float32‖. */
export function compare(a: Float32Array, b: Float32Array): { cosine: number; relative: number } {
  let [dot, aa, bb, error] = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
    error += (a[i]! - b[i]!) ** 2;
  }
  return { cosine: dot / Math.sqrt(aa * bb), relative: Math.sqrt(error / bb) };
}
