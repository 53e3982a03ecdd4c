/** Peak memory, time and gradient of a training step under mixed precision, kept activations and checkpointing. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Command } from "commander";
import { UserError, formatBytes } from "../src/util/index.ts";
import { count, dropoutShare } from "./flags.ts";
import { loadAverage, processorName } from "./machine.ts";
import { prepareWorkload } from "./workload.ts";

interface Flags {
  readonly model: string;
  readonly curve?: string;
  readonly tokens: string;
  readonly text: string;
  readonly steps: number;
  readonly dropout: number;
  readonly threads?: number;
  readonly variants: string;
  readonly rounds: number;
}

/** By name: precision, form of kept activations, checkpointing. */
const variants: Readonly<Record<string, readonly [string, string, string]>> = {
  float32: ["float32", "float32", "none"],
  activations: ["float32", "float16", "none"],
  attention: ["float32", "float32", "attention"],
  "attention+activations": ["float32", "float16", "attention"],
  blocks: ["float32", "float32", "blocks"],
  fp16: ["fp16", "float32", "none"],
  "fp16+activations": ["fp16", "float16", "none"],
  bf16: ["bf16", "float32", "none"],
};

interface Measured {
  readonly peakBytes: number;
  /** The peak when the weights were read, before the first step. */
  readonly loadedBytes: number;
  readonly seconds: readonly number[];
  readonly losses: readonly number[];
}

/** The share of memory that mixed precision saves on the GPU that this project's first version was measured on. */
const SEED_SHARE = 0.3;
const repository = join(import.meta.dirname, "..");

export function memoryCommand(): Command {
  return new Command("memory")
    .description("peak memory, time and gradient under mixed precision, kept activations and checkpointing")
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .option("--curve <folder>", "batches.npz and lora_init.safetensors: real batches instead of dense ones")
    .option("--tokens <rows x tokens>", "dense batches, half of each row supervised", "4x256")
    .option("--text <file>", "text of dense batches", join(repository, "assets/quickstart/train.jsonl"))
    .option("--steps <n>", "steps of each variant and round; the fastest counts", count, 3)
    .option("--rounds <n>", "processes of each variant, in turn", count, 1)
    .option("--dropout <share>", "LoRA dropout", dropoutShare, 0.1)
    .option("--threads <n>", "default: the processors at hand", count)
    .option("--variants <names>", Object.keys(variants).join(", "), Object.keys(variants).join())
    .action(memory);
}

async function memory(flags: Flags): Promise<void> {
  const names = flags.variants.split(",");
  const unknown = names.find((name) => variants[name] === undefined);
  if (unknown !== undefined) {
    throw new UserError(`--variants ${unknown} is unknown`, {
      next: `Choose from ${Object.keys(variants).join(", ")}.`,
    });
  }
  const [rows, tokens] = flags.tokens.split("x").map(Number);
  const cache = join(repository, ".cache", "bench");
  const workload = await prepareWorkload({
    model: flags.model,
    dense: { rows: rows!, tokens: tokens! },
    ...(flags.curve === undefined ? {} : { curve: flags.curve }),
    seed: 0,
    text: flags.text,
    batches: flags.steps,
    validation: false,
    rank: 16,
    targets: ["q_proj", "v_proj"],
    cache,
  });
  const threads = flags.threads ?? availableParallelism();
  const results = new Map<string, Measured[]>(names.map((name) => [name, []]));
  for (let round = 0; round < flags.rounds; round++) {
    for (const name of names) {
      const [precision, activations, checkpointing] = variants[name]!;
      const options = { precision, activations, checkpointing, threads, work: workload.folder };
      const settings = {
        ...options,
        steps: flags.steps,
        dropout: flags.dropout,
        gradient: gradientFile(name),
      };
      const { stdout } = await promisify(execFile)(process.execPath, [
        "--import",
        "tsx",
        join(import.meta.dirname, "memory-side.ts"),
        ...Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]),
      ]);
      results.get(name)!.push(JSON.parse(stdout.trim().split("\n").at(-1)!) as Measured);
    }
  }
  const first = names[0]!;
  const yardstick = await gradientOf(first);
  const of = (name: string): Measured => ({
    ...results.get(name)![0]!,
    seconds: results.get(name)!.flatMap(({ seconds }) => seconds),
    peakBytes: Math.max(...results.get(name)!.map(({ peakBytes }) => peakBytes)),
  });
  console.log(`${processorName()}, ${threads} threads, load ${loadAverage()}; all against ${first}`);
  console.log("| variant | loaded | peak | saved | fastest step | time | loss | gradient error |");
  console.log("|---|---|---|---|---|---|---|---|");
  for (const name of names) {
    const { loadedBytes, peakBytes, seconds, losses } = of(name);
    const saved = 1 - peakBytes / of(first).peakBytes;
    const fastest = Math.min(...seconds);
    const cells = [
      name,
      formatBytes(loadedBytes),
      formatBytes(peakBytes),
      `${(saved * 100).toFixed(0)} %`,
      `${fastest.toFixed(2)} s`,
      `× ${(fastest / Math.min(...of(first).seconds)).toFixed(2)}`,
      losses[0]!.toFixed(5),
      relativeError(await gradientOf(name), yardstick).toExponential(1),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
  console.log(`(${SEED_SHARE * 100} % is what fp16 saved on the first version's GPU)`);

  function gradientFile(name: string): string {
    return join(workload.folder, `gradient-${name}.bin`);
  }
  async function gradientOf(name: string): Promise<Float32Array> {
    const bytes = await readFile(gradientFile(name));
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  }
}

/** ‖a − b‖ / ‖b‖. */
function relativeError(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  for (const [i, value] of b.entries()) {
    difference += (a[i]! - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(difference / size);
}
