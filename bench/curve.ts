/** The recorded curve of PyTorch + PEFT, trained again: the largest difference of a step's loss, validation before and after. */
import { Command } from "commander";
import { adamWDefaults } from "../src/compute/optim/index.ts";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import type { FeedSequence } from "../src/data/feed/index.ts";
import { loadResidentModel, microBatches } from "../src/model/decoder/index.ts";
import { openChatModel } from "../src/model/index.ts";
import { parameterLayout } from "../src/model/nn/index.ts";
import { adaptedLayers, loraParameters, trainingEngine } from "../src/train/index.ts";
import { UserError } from "../src/util/index.ts";
import { openCurve } from "../test/fixtures/curve.ts";
import { count, countFromZero } from "./flags.ts";

interface Flags {
  readonly model: string;
  readonly curve: string;
  readonly steps: number;
  readonly validationBatches: number;
  readonly threads?: number;
}

export function curveCommand(): Command {
  return new Command("curve")
    .description("a recorded training run of PyTorch + PEFT, step by step")
    .requiredOption("--model <path>", "the model the curve was recorded with: a folder or .gguf file")
    .requiredOption("--curve <folder>", "batches.npz, lora_init.safetensors and curve_fp32_lorafp32.json")
    .option("--steps <n>", "steps to train", count, 40)
    .option(
      "--validation-batches <n>",
      "batches of 10 rows to validate on; all 20 give the recorded figures",
      countFromZero,
      20,
    )
    .option("--threads <n>", "threads; default: the processors at hand", count)
    .action(trainCurve);
}

const weightOf = (rows: readonly FeedSequence[]): number =>
  rows.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b), 0);

async function trainCurve(flags: Flags): Promise<void> {
  const curve = await openCurve(flags.curve);
  if ("reason" in curve) throw new UserError(curve.reason, { next: "Give another --curve." });
  const { recorded } = curve;
  const steps = Math.min(flags.steps, recorded.loss.length);
  const chat = await openChatModel(flags.model);
  await using runtime = await onnxRuntime(flags.threads === undefined ? {} : { threads: flags.threads });
  const model = await loadResidentModel(runtime, chat.spec, chat.store);
  const layers = adaptedLayers(chat.spec, ["q_proj", "v_proj"]);
  const adapted = new Set(layers.map(({ path }) => path));
  const layout = parameterLayout(loraParameters(layers, 16));
  await using engine = await trainingEngine(model, await curve.initial(layout), {
    layout,
    adapter: { rank: 16, scale: 2, adapts: (path) => adapted.has(path) },
    dropout: 0,
    seed: 0,
    optimizer: adamWDefaults,
    queryChunks: 1,
    lossChunks: 2,
    recompute: "none",
  });
  const held = Array.from({ length: flags.validationBatches }, (_, i) =>
    curve.rows(`val${String(i).padStart(2, "0")}`),
  ).flat();
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const validate = async (when: string, recordedLoss: number): Promise<void> => {
    if (held.length === 0) return;
    let sum = 0;
    for (const sequences of microBatches(held, 700)) sum += await engine.loss(sequences);
    say(`validation ${(sum / weightOf(held)).toFixed(6)}, recorded ${when} ${recordedLoss.toFixed(6)}`);
  };

  await validate("before training", recorded.val_before);
  let worst = 0;
  const speeds: number[] = [];
  for (let step = 0; step < steps; step++) {
    const batch = curve.rows(`train${String(step).padStart(3, "0")}`);
    const began = performance.now();
    let loss = 0;
    for (const sequences of microBatches(batch, 512))
      loss += await engine.accumulate(sequences, 1 / weightOf(batch), 0);
    await engine.update({ learningRate: 3e-4, weightDecay: 0.01, maxNorm: 1, update: step + 1 });
    const tokens = batch.reduce((sum, { ids }) => sum + ids.length, 0);
    speeds.push((1000 * tokens) / (performance.now() - began));
    const difference = loss - recorded.loss[step]!;
    worst = Math.max(worst, Math.abs(difference));
    say(
      `step ${step + 1}: loss ${loss.toFixed(6)}, recorded ${recorded.loss[step]!.toFixed(6)}, difference ${difference.toExponential(1)}`,
    );
  }
  const median = speeds.toSorted((a, b) => a - b)[speeds.length >> 1] ?? 0;
  say(`largest difference ${worst.toExponential(2)}; median ${median.toFixed(0)} tokens/s`);
  await validate("after 40 steps", recorded.val_after);
  await chat.close();
}
