/** Training steps of Attune and of PyTorch + PEFT on the same weights and batches, in turn: tokens/s, memory, ratio. */
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { Command } from "commander";
import { formatBytes } from "../src/util/index.ts";
import { count, countFromZero, dropoutShare } from "./flags.ts";
import { loadAverage, median, processorName } from "./machine.ts";
import { drawLosses } from "./loss-picture.ts";
import { type SharedOptions, attuneSide, peerSide, peers } from "./sides.ts";
import { type Side, type SideOptions, leastOfRounds, microBatchSeconds, startSide } from "./turns.ts";
import { type Workload, denseSize, prepareWorkload } from "./workload.ts";

interface Flags {
  readonly model: string;
  readonly peerPython?: string;
  readonly peer: string;
  readonly tokens: string;
  readonly curve?: string;
  readonly data?: string;
  readonly batch: number;
  readonly maxLength: number;
  readonly seed: number;
  readonly text: string;
  readonly dropout: number;
  readonly steps: number;
  readonly warmup: number;
  readonly rounds: number;
  readonly rank: number;
  readonly alpha: number;
  readonly targets: string;
  readonly microTokens: number;
  readonly lanes?: number;
  readonly checkpointing?: string;
  readonly base: string;
  readonly threads?: number;
  readonly validate?: boolean;
  readonly picture?: string;
  readonly json?: boolean;
}

const repository = join(import.meta.dirname, "..");

export function trainStepCommand(): Command {
  return new Command("train-step")
    .description("training steps of Attune beside PyTorch + PEFT")
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .option("--peer-python <path>", "a Python that has torch, transformers, peft and safetensors")
    .option("--peer <names>", `how the peer runs, comma-separated: ${Object.keys(peers).join(", ")}`, "best")
    .option("--tokens <rows x tokens>", "dense batches, half of each row supervised", "4x256")
    .option("--curve <folder>", "batches.npz and lora_init.safetensors: real batches instead of dense ones")
    .option("--data <file>", "dialogues as `attune train` reads them, row by row: real batches of this data")
    .option("--batch <n>", "with --data: replies a step", count, 16)
    .option("--max-length <n>", "with --data: longest row in tokens", count, 512)
    .option("--seed <n>", "of the order of --data and of the initial adapter", countFromZero, 0)
    .option(
      "--text <file>",
      "JSON lines whose text fills dense batches",
      join(repository, "assets/quickstart/train.jsonl"),
    )
    .option("--dropout <share>", "LoRA dropout", dropoutShare, 0)
    .option("--steps <n>", "measured steps of each side", count, 10)
    .option("--warmup <n>", "steps before those", countFromZero, 2)
    .option(
      "--rounds <n>",
      "times the measured steps are made; of each micro-batch the least time counts",
      count,
      1,
    )
    .option("--rank <n>", "LoRA rank", count, 16)
    .option("--alpha <n>", "LoRA alpha", count, 32)
    .option("--targets <names>", "adapted layers", "q_proj,v_proj")
    .option("--micro-tokens <n>", "most tokens Attune computes at once", count, 700)
    .option("--lanes <n>", "micro-batches Attune computes at once; default: as a run does", count)
    .option(
      "--checkpointing <how>",
      "what Attune recomputes: none, attention or blocks; default: as a run does",
    )
    .option(
      "--base <names>",
      "how Attune holds the frozen layers, comma-separated; the first is compared",
      "float32",
    )
    .option("--threads <n>", "threads of each side; default: the processors at hand", count)
    .option("--validate", "with --curve or --data: validation loss before and after")
    .option("--picture <file.svg>", "the losses of all sides as a picture, and beside it as .json")
    .option("--json", "print one line of JSON")
    .action(trainStep);
}

interface Measured {
  readonly name: string;
  readonly version: string;
  readonly tokensPerSecond: number;
  readonly medianStepSeconds: number;
  readonly meanStepSeconds: number;
  /** Of every measured step, round after round. */
  readonly microBatchSeconds: readonly (readonly number[])[];
  readonly peakBytes: number;
  readonly losses: readonly number[];
  readonly validationBefore?: number;
  readonly validationAfter?: number;
  /** Of an adapter trained on another base. */
  readonly validationAfterOnFloat32?: number;
}

async function trainStep(flags: Flags): Promise<void> {
  const threads = flags.threads ?? availableParallelism();
  const { steps, warmup, rounds } = flags;
  const workload = await prepareWorkload({
    model: flags.model,
    dense: denseSize(flags.tokens, "--tokens"),
    ...(flags.curve === undefined ? {} : { curve: flags.curve }),
    ...(flags.data === undefined
      ? {}
      : {
          data: {
            file: flags.data,
            batch: flags.batch,
            maxLength: flags.maxLength,
          },
        }),
    seed: flags.seed,
    text: flags.text,
    batches: warmup + steps,
    validation: flags.validate === true,
    rank: flags.rank,
    targets: flags.targets.split(","),
    cache: join(repository, ".cache", "bench"),
  });
  const started: (Side & { readonly ready: Record<string, unknown> })[] = [];
  try {
    for (const options of sidesOf(flags, workload.folder, threads)) started.push(await startSide(options));
    const measured = await takeTurns(started, workload, { warmup, steps, rounds });
    const ceiling = await started[0]!.ask({ do: "ceiling", from: warmup });
    report(flags, threads, measured, ceiling);
    if (flags.picture !== undefined) await drawLosses(flags.picture, titleOf(flags), measured);
  } finally {
    for (const side of started) await side.close();
  }
}

function sidesOf(flags: Flags, folder: string, threads: number): SideOptions[] {
  const shared: SharedOptions = {
    work: folder,
    threads,
    rank: flags.rank,
    alpha: flags.alpha,
    targets: flags.targets,
    dropout: flags.dropout,
  };
  const own = flags.base.split(",").map((base) => attuneSide(shared, { ...flags, base }));
  const { peerPython } = flags;
  if (peerPython === undefined) return own;
  return [...own, ...flags.peer.split(",").map((name) => peerSide(shared, peerPython, name))];
}

/** A step of each side after another, so that whatever else the machine does falls on all alike. */
async function takeTurns(
  sides: readonly (Side & { readonly ready: Record<string, unknown> })[],
  { batches }: Workload,
  { warmup, steps, rounds }: { readonly warmup: number; readonly steps: number; readonly rounds: number },
): Promise<Measured[]> {
  const before = batches.validation.length === 0 ? [] : await inTurn(sides, { do: "validate" });
  const turns: Record<string, unknown>[][] = [];
  for (let turn = 0; turn < warmup + rounds * steps; turn++) {
    const step = turn < warmup ? turn : warmup + ((turn - warmup) % steps);
    turns.push(await inTurn(sides, { do: "step", step }));
  }
  const after = batches.validation.length === 0 ? [] : await inTurn(sides, { do: "validate" });
  const peaks = await inTurn(sides, { do: "peak" });
  // The float32 base takes memory that is not the step's: after the peaks.
  const onFloat32 = before.length === 0 ? [] : await validateOnFloat32(sides);
  return sides.map(({ name, ready }, index) => {
    const timed = turns.slice(warmup).map((turn) => turn[index]!);
    const parts = timed.map(microBatchSeconds);
    const seconds = leastOfRounds(parts, steps);
    const tokens = timed.slice(0, steps).reduce((sum, turn) => sum + Number(turn["tokens"]), 0);
    return {
      name,
      version: String(ready["version"]),
      tokensPerSecond: tokens / seconds.reduce((a, b) => a + b, 0),
      medianStepSeconds: median(seconds),
      meanStepSeconds: seconds.reduce((a, b) => a + b, 0) / seconds.length,
      microBatchSeconds: parts,
      peakBytes: Number(peaks[index]!["peakBytes"]),
      losses: turns.map((turn) => Number(turn[index]!["loss"])),
      ...(before.length === 0
        ? {}
        : {
            validationBefore: Number(before[index]!["loss"]),
            validationAfter: Number(after[index]!["loss"]),
          }),
      ...(onFloat32[index] === undefined ? {} : { validationAfterOnFloat32: onFloat32[index] }),
    };
  });
}

async function inTurn(
  sides: readonly Side[],
  request: Record<string, unknown>,
): Promise<Record<string, unknown>[]> {
  const answers: Record<string, unknown>[] = [];
  for (const side of sides) answers.push(await side.ask(request));
  return answers;
}

/** The loss on the float32 base of each side that trains on another; peers have no such answer. */
async function validateOnFloat32(
  sides: readonly (Side & { readonly ready: Record<string, unknown> })[],
): Promise<(number | undefined)[]> {
  const losses: (number | undefined)[] = [];
  for (const side of sides) {
    const { base = "float32" } = side.ready;
    losses.push(
      base === "float32" ? undefined : Number((await side.ask({ do: "validate-on-float32" }))["loss"]),
    );
  }
  return losses;
}

function report(
  flags: Flags,
  threads: number,
  measured: readonly Measured[],
  ceiling: Readonly<Record<string, unknown>>,
): void {
  const [attune] = measured;
  const rate = Number(ceiling["ceilingOperationsPerSecond"]);
  const linear = Number(ceiling["linearOperations"]);
  const all = linear + Number(ceiling["attentionOperations"]);
  // Operations are the mean over the measured steps; so is the time.
  const stepSeconds = attune!.meanStepSeconds;
  const result = {
    bench: "train-step",
    processor: processorName(),
    threads,
    loadAverage: loadAverage(),
    batches: titleOf(flags),
    dropout: flags.dropout,
    steps: flags.steps,
    rounds: flags.rounds,
    ceilingGigaflops: rate / 1e9,
    stepGigaflop: all / 1e9,
    shareOfCeilingLinear: linear / stepSeconds / rate,
    shareOfCeiling: all / stepSeconds / rate,
    sides: measured.map((side) => ({
      ...side,
      speedRatio: attune!.tokensPerSecond / side.tokensPerSecond,
      memoryRatio: attune!.peakBytes / side.peakBytes,
      largestLossDifference: Math.max(...side.losses.map((loss, i) => Math.abs(loss - attune!.losses[i]!))),
    })),
  };
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const lines = [
    `train-step: ${result.batches}, dropout ${flags.dropout}, ${flags.steps} steps a side in turn${roundsNamed(flags)}; ${result.processor}, ${threads} threads, load ${result.loadAverage}`,
    ...result.sides.map(
      (side, index) =>
        `${side.name.padEnd(22)} ${side.tokensPerSecond.toFixed(0).padStart(6)} tokens/s  median step ${side.medianStepSeconds.toFixed(3)} s  peak ${formatBytes(side.peakBytes).padStart(8)}${
          index === 0
            ? ""
            : `  the first is ${side.speedRatio.toFixed(2)} × as fast in ${side.memoryRatio.toFixed(2)} × the memory; largest loss difference ${side.largestLossDifference.toExponential(1)}`
        }${side.validationBefore === undefined ? "" : `  validation ${side.validationBefore.toFixed(5)} → ${side.validationAfter!.toFixed(5)}${side.validationAfterOnFloat32 === undefined ? "" : ` (${side.validationAfterOnFloat32.toFixed(5)} on the float32 base)`}`}`,
    ),
    `${attune!.name}: ${(all / 1e9).toFixed(0)} GFLOP a step in matrix products (${(linear / 1e9).toFixed(0)} linear), ceiling ${(rate / 1e9).toFixed(0)} GFLOP/s at ${String(ceiling["ceilingTokens"])} tokens: ${(100 * result.shareOfCeiling).toFixed(1)} % of it (linear alone ${(100 * result.shareOfCeilingLinear).toFixed(1)} %)`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function roundsNamed({ rounds }: Flags): string {
  return rounds === 1 ? "" : `, the least of ${rounds} rounds`;
}

function titleOf({ curve, data, tokens, batch, seed }: Flags): string {
  if (data !== undefined) return `${basename(data)}, batch ${batch}, seed ${seed}`;
  return curve === undefined ? `dense ${tokens}` : "curve";
}
