/**
 * Rows of whole multi-turn dialogues trained a second: Attune, which reads what rows share once, beside PEFT's plain
 * padded loop and its expert loop (rows grouped by length, the head on labelled positions only).
 */
import { createReadStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { Command } from "commander";
import { specFromConfig } from "../src/model/decoder/index.ts";
import { adaptedLayers, loraParameters } from "../src/train/index.ts";
import { prepareRun, trainConfigSchema } from "../src/project/index.ts";
import { UserError, formatBytes, parseJson } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, processorName } from "./machine.ts";
import { type SharedOptions, attuneSide, peerSide, plainLora } from "./sides.ts";
import { type SideOptions, leastOfRounds, microBatchSeconds, startSide } from "./turns.ts";
import { type Batches, type Row, prepareWorkload, rowOf } from "./workload.ts";

interface Flags {
  readonly model: string;
  readonly data: string;
  readonly rows: number;
  readonly batch: number;
  readonly maxLength: number;
  readonly steps: number;
  readonly rounds: number;
  readonly microTokens: number;
  readonly base: string;
  readonly peerPython?: string;
  readonly peerType: string;
  readonly threads?: number;
}

const repository = join(import.meta.dirname, "..");

export function foldCommand(): Command {
  return new Command("fold")
    .description(
      "rows of multi-turn dialogues trained a second, folded, beside PEFT's padded and expert loops",
    )
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .requiredOption("--data <file>", "JSON lines of dialogues, row by row; may be gzipped")
    .option("--rows <n>", "rows, in whole dialogues", count, 320)
    .option("--batch <n>", "rows a step", count, 16)
    .option("--max-length <n>", "longest row in tokens", count, 1024)
    .option("--steps <n>", "most steps of each of the peer's loops; Attune trains the whole epoch", count, 6)
    .option(
      "--rounds <n>",
      "times each loop's steps are made; of each micro-batch the least time counts",
      count,
      1,
    )
    .option("--micro-tokens <n>", "most tokens Attune computes at once", count, 700)
    .option("--base <names>", "how Attune holds the frozen layers, comma-separated", "float32,int8")
    .option("--peer-python <path>", "a Python that has torch, transformers, peft and safetensors")
    .option("--peer-type <name>", "the peer's loops run in: bf16 or best (float32)", "bf16")
    .option("--threads <n>", "threads of each side; default: the processors at hand", count)
    .action(compareFolding);
}

/** One way to train the rows. */
interface Loop {
  readonly name: string;
  readonly side: SideOptions;
  readonly steps: number;
  /** Tokens of the rows that its steps train, where that is not what it reads. */
  readonly rowTokens?: number;
}

async function compareFolding(flags: Flags): Promise<void> {
  const { batch, rounds, threads = availableParallelism() } = flags;
  const { folder: work } = await prepareWorkload({
    model: flags.model,
    dense: { rows: 1, tokens: 2 },
    seed: 0,
    text: join(repository, "assets/quickstart/train.jsonl"),
    batches: 1,
    validation: false,
    rank: 16,
    targets: ["q_proj", "v_proj"],
    cache: join(repository, ".cache", "bench"),
  });
  const file = join(work, "fold.jsonl");
  await writeFile(file, await wholeDialogues(flags.data, flags.rows));
  const folded = await epochOf(flags, file, true);
  const rows = await epochOf(flags, file, false);
  const byLength = rows.flat().toSorted((a, b) => a.ids.length - b.ids.length);
  const grouped = Array.from({ length: Math.ceil(byLength.length / batch) }, (_, i) =>
    byLength.slice(batch * i, batch * i + batch),
  );
  await save(work, "fold-rows.json", rows);
  await save(work, "fold-folded.json", folded);
  // Lengths of the whole range, whatever the number of steps.
  await save(work, "fold-grouped.json", spread(grouped));
  const tokensOf = (batches: readonly (readonly Row[])[]): number =>
    batches.flat().reduce((sum, { ids }) => sum + ids.length, 0);
  const tokens = [tokensOf(rows), tokensOf(folded)] as const;
  const replies = rows.flat().length;
  const shared: SharedOptions = { work, threads, ...plainLora };
  process.stdout.write(
    `fold: ${replies} rows of ${tokens[0]} tokens, folded ${tokens[1]} (${(tokens[0] / tokens[1]).toFixed(2)} times fewer); batch ${batch}${rounds === 1 ? "" : `, the least of ${rounds} rounds`}; ${processorName()}, ${threads} threads, load ${loadAverage()}\n`,
  );
  const loops: Loop[] = flags.base.split(",").map((base) => {
    const options = { base, microTokens: flags.microTokens, batches: "fold-folded.json" };
    const side = attuneSide(shared, options);
    return { name: side.name, side, steps: folded.length, rowTokens: tokens[0] };
  });
  const { peerPython } = flags;
  if (peerPython !== undefined) {
    const steps = Math.min(flags.steps, rows.length);
    const peerLoop = (name: string, way: string, batches: string): Loop => {
      const side = peerSide(shared, peerPython, way, { batches, micro: batch });
      return { name: `${side.name}, ${name}`, side, steps };
    };
    loops.push(peerLoop("padded", `${flags.peerType}-whole-head`, "fold-rows.json"));
    loops.push(peerLoop("expert", flags.peerType, "fold-grouped.json"));
  }
  report(await timeInTurn(loops, rounds), tokens[0] / replies);
  if (peerPython === undefined) return;
  await compareGradients(shared, flags, peerPython);
}

interface Timed extends Loop {
  readonly tokensPerSecond: number;
  readonly peakBytes: number;
}

/** Every loop in each round, in a process of its own: they need too much memory to wait for one another. */
async function timeInTurn(loops: readonly Loop[], rounds: number): Promise<Timed[]> {
  const measured = loops.map(() => [] as Round[]);
  for (let round = 0; round < rounds; round++)
    for (const [i, loop] of loops.entries()) {
      measured[i]!.push(await timeSteps(loop));
      process.stderr.write(`round ${round + 1} of ${rounds}: ${loop.name}\n`);
    }
  return loops.map((loop, i) => {
    const own = measured[i]!;
    const turns = own.flatMap(({ seconds }) => seconds);
    const seconds = leastOfRounds(turns, loop.steps).reduce((a, b) => a + b, 0);
    return {
      ...loop,
      tokensPerSecond: (loop.rowTokens ?? own[0]!.tokens) / seconds,
      peakBytes: Math.max(...own.map(({ peakBytes }) => peakBytes)),
    };
  });
}

/** Rows differ in length from loop to loop: a loop's rows a second follow from its tokens a second. */
function report(timed: readonly Timed[], tokensPerRow: number): void {
  const own = timed.filter(({ rowTokens }) => rowTokens !== undefined);
  for (const loop of timed) {
    const { name, tokensPerSecond, steps, peakBytes } = loop;
    const ratios = own.map((one) => `${one.name} ${(one.tokensPerSecond / tokensPerSecond).toFixed(1)} ×`);
    process.stdout.write(
      `${name.padEnd(28)} ${(tokensPerSecond / tokensPerRow).toFixed(2).padStart(7)} rows/s  ${tokensPerSecond.toFixed(0).padStart(6)} row tokens/s  ${steps} steps  peak ${formatBytes(peakBytes).padStart(8)}${own.includes(loop) ? "" : `  ${ratios.join(", ")}`}\n`,
    );
  }
}

interface Round {
  /** Of each step's micro-batches. */
  readonly seconds: readonly (readonly number[])[];
  /** That the steps read. */
  readonly tokens: number;
  readonly peakBytes: number;
}

/** One warm step, then the measured ones. */
async function timeSteps({ side: options, steps }: Loop): Promise<Round> {
  const side = await startSide(options);
  try {
    await side.ask({ do: "step", step: 0 });
    const seconds: (readonly number[])[] = [];
    let tokens = 0;
    for (let step = 0; step < steps; step++) {
      const answer = await side.ask({ do: "step", step });
      seconds.push(microBatchSeconds(answer));
      tokens += Number(answer["tokens"]);
    }
    return { seconds, tokens, peakBytes: Number((await side.ask({ do: "peak" }))["peakBytes"]) };
  } finally {
    await side.close();
  }
}

/** ‖difference‖ / ‖PEFT's‖ of the gradient of a whole dialogue's rows: Attune's folded, PEFT's in float32 row by row. */
async function compareGradients(shared: SharedOptions, flags: Flags, python: string): Promise<void> {
  const { rows, folded } = await oneDialogue(flags, join(shared.work, "fold.jsonl"));
  await save(shared.work, "fold-check-rows.json", [rows]);
  await save(shared.work, "fold-check-folded.json", [folded]);
  const order = await adapterOrder(shared.work);
  const own = await gradientOf(attuneSide(shared, { base: "float32", microTokens: flags.microTokens }), {
    batches: "fold-check-folded.json",
    file: join(shared.work, "fold-attune.f32"),
  });
  const peer = await gradientOf(peerSide(shared, python, "best"), {
    batches: "fold-check-rows.json",
    file: join(shared.work, "fold-peer.f32"),
    order,
  });
  let [error, size] = [0, 0];
  for (let i = 0; i < peer.gradient.length; i++) {
    error += (own.gradient[i]! - peer.gradient[i]!) ** 2;
    size += peer.gradient[i]! ** 2;
  }
  process.stdout.write(
    `summed gradient of ${rows.length} rows, folded into ${folded.length}, against PEFT float32 row by row: relative difference ${Math.sqrt(error / size).toExponential(1)}; losses ${own.loss.toFixed(5)} and ${peer.loss.toFixed(5)}\n`,
  );
}

async function gradientOf(
  options: SideOptions,
  request: { readonly batches: string; readonly file: string; readonly order?: readonly string[] },
): Promise<{ gradient: Float32Array; loss: number }> {
  const side = await startSide(options);
  try {
    const { loss } = await side.ask({ do: "gradient", ...request });
    const bytes = await readFile(request.file);
    return {
      gradient: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
      loss: Number(loss),
    };
  } finally {
    await side.close();
  }
}

/** PEFT's names of the trainable matrices in the order of Attune's vector. */
async function adapterOrder(work: string): Promise<string[]> {
  const path = join(work, "model", "config.json");
  const config = parseJson(await readFile(path, "utf8"), path) as Record<string, unknown>;
  const layers = adaptedLayers(specFromConfig(config, path), ["q_proj", "v_proj"]);
  return loraParameters(layers, 16).map(({ name }) => `base_model.model.${name}`);
}

/** The first rows of a file that are whole dialogues, at least so many. */
async function wholeDialogues(path: string, rows: number): Promise<string> {
  const source = createReadStream(path);
  const kept: string[] = [];
  let last: unknown;
  for await (const line of createInterface(path.endsWith(".gz") ? source.pipe(createGunzip()) : source)) {
    const { dialogue_id: dialogue } = parseJson(line, path) as { dialogue_id?: unknown };
    if (dialogue === undefined)
      throw new UserError(`${path} has no dialogue_id`, { next: "Give another --data." });
    if (kept.length >= rows && dialogue !== last) break;
    kept.push(line);
    last = dialogue;
  }
  source.destroy();
  return `${kept.join("\n")}\n`;
}

function configOf(flags: Flags, file: string, fold: boolean): ReturnType<typeof trainConfigSchema.parse> {
  return trainConfigSchema.parse({
    model: flags.model,
    data: { train: file, validationShare: 0.001 },
    seed: 0,
    training: {
      batch: flags.batch,
      maxLength: flags.maxLength,
      fold,
    },
  });
}

async function epochOf(flags: Flags, file: string, fold: boolean): Promise<Row[][]> {
  await using prepared = await prepareRun(configOf(flags, file, fold));
  const { training } = prepared.plan;
  return Array.from({ length: training.stepsPerEpoch }, (_, step) =>
    training.batch(step).microBatches.flat().map(rowOf),
  );
}

/** The dialogue of most rows in a folded step, and those rows themselves. */
async function oneDialogue(flags: Flags, file: string): Promise<{ rows: Row[]; folded: Row[] }> {
  const [rows, folded] = [await epochOf(flags, file, false), await epochOf(flags, file, true)];
  const longest = folded.flat().reduce((a, b) => (b.targets.length > a.targets.length ? b : a));
  const begins = (row: Row): boolean => row.ids.every((id, i) => id === longest.ids[i]);
  return { rows: rows.flat().filter(begins), folded: [longest] };
}

/** Every n-th first, so that the first few batches stand for all lengths. */
function spread<T>(values: readonly T[]): T[] {
  const step = Math.max(1, Math.floor(values.length / 6));
  return Array.from({ length: step }, (_, first) =>
    values.filter((_, i) => i % step === (first + step - 1) % step),
  ).flat();
}

async function save(work: string, name: string, training: readonly (readonly Row[])[]): Promise<void> {
  const batches: Batches = { kind: "curve", training, validation: [] };
  await writeFile(join(work, name), JSON.stringify(batches));
}
