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
  readonly microTokens: string;
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
    .option("--micro-tokens <n>", "most tokens Attune computes at once", "700")
    .option("--base <names>", "how Attune holds the frozen layers, comma-separated", "float32,int8")
    .option("--peer-python <path>", "a Python that has torch, transformers, peft and safetensors")
    .option("--peer-type <name>", "the peer's loops run in: bf16 or best (float32)", "bf16")
    .option("--threads <n>", "threads of each side; default: the processors at hand", count)
    .action(compareFolding);
}

interface Loop {
  readonly name: string;
  readonly rowsPerSecond: number;
  readonly tokensPerSecond: number;
  readonly steps: number;
  readonly peakBytes: number;
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
  const firstRows = rows.slice(0, 2);
  await save(work, "fold-first.json", firstRows);
  const count = (batches: readonly (readonly Row[])[], of: (row: Row) => number): number =>
    batches.flat().reduce((sum, row) => sum + of(row), 0);
  const tokens = [count(rows, ({ ids }) => ids.length), count(folded, ({ ids }) => ids.length)] as const;
  const replies = rows.flat().length;
  const shared: SharedOptions = { work, threads, ...plainLora };
  process.stdout.write(
    `fold: ${replies} rows of ${tokens[0]} tokens, folded ${tokens[1]} (${(tokens[0] / tokens[1]).toFixed(2)} times fewer); batch ${batch}${rounds === 1 ? "" : `, the least of ${rounds} rounds`}; ${processorName()}, ${threads} threads, load ${loadAverage()}\n`,
  );
  const loops: Loop[] = [];
  const show = (loop: Loop): void => {
    loops.push(loop);
    process.stdout.write(
      `${loop.name.padEnd(28)} ${loop.rowsPerSecond.toFixed(2).padStart(7)} rows/s  ${loop.tokensPerSecond.toFixed(0).padStart(6)} row tokens/s  ${loop.steps} steps  peak ${formatBytes(loop.peakBytes)}\n`,
    );
  };
  const perRow = tokens[0] / replies;
  for (const base of flags.base.split(",")) {
    const options = { base, microTokens: flags.microTokens };
    const side = attuneSide(shared, { ...options, batches: "fold-folded.json" });
    const own = await timeSteps(side, folded.length, rounds);
    show({
      ...own,
      name: side.name,
      rowsPerSecond: replies / own.seconds,
      tokensPerSecond: tokens[0] / own.seconds,
    });
  }
  const { peerPython } = flags;
  if (peerPython === undefined) return;
  const steps = Math.min(flags.steps, rows.length);
  for (const [name, way, options] of [
    ["padded", `${flags.peerType}-whole-head`, { batches: "fold-rows.json", micro: batch }],
    ["expert", flags.peerType, { batches: "fold-grouped.json", micro: batch }],
  ] as const) {
    const side = peerSide(shared, peerPython, way, options);
    const { seconds, tokens: read, peakBytes } = await timeSteps(side, steps, rounds);
    // Rows of other lengths: its rows a second follow from its tokens a second.
    const tokensPerSecond = read / seconds;
    show({
      name: `${side.name}, ${name}`,
      rowsPerSecond: tokensPerSecond / perRow,
      tokensPerSecond,
      steps,
      peakBytes,
    });
    const ratios = loops.filter((one) => one.name.startsWith("attune"));
    process.stdout.write(
      `  ${ratios.map((one) => `${one.name} ${(one.tokensPerSecond / tokensPerSecond).toFixed(1)} ×`).join(", ")}\n`,
    );
  }
  await compareGradients(shared, flags, peerPython);
}

interface Timed {
  readonly seconds: number;
  readonly tokens: number;
  readonly steps: number;
  readonly peakBytes: number;
}

/** One warm step, then so many measured ones, round after round. */
async function timeSteps(options: SideOptions, steps: number, rounds: number): Promise<Timed> {
  const side = await startSide(options);
  try {
    await side.ask({ do: "step", step: 0 });
    const timed: { readonly seconds: readonly number[]; readonly tokens: number }[] = [];
    for (let turn = 0; turn < rounds * steps; turn++) {
      const answer = await side.ask({ do: "step", step: turn % steps });
      timed.push({ seconds: microBatchSeconds(answer), tokens: Number(answer["tokens"]) });
    }
    const least = leastOfRounds(
      timed.map(({ seconds }) => seconds),
      steps,
    );
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    const tokens = sum(timed.slice(0, steps).map((step) => step.tokens));
    return {
      seconds: sum(least),
      tokens,
      steps,
      peakBytes: Number((await side.ask({ do: "peak" }))["peakBytes"]),
    };
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
