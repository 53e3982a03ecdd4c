/** Ways to hold and multiply the frozen base side by side: speed, memory, gradient error, validation loss; one table. */
import { execFile } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { createGunzip } from "node:zlib";
import { Command } from "commander";
import { UserError, formatBytes, parseJson } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, processorName } from "./machine.ts";
import { type Mode, type SideJob, modeNamed, nameOf } from "./modes-list.ts";

interface Flags {
  readonly model: string;
  readonly data: readonly string[];
  readonly rows: number;
  readonly modes: string;
  readonly seeds: string;
  readonly steps: number;
  readonly batch: number;
  readonly microTokens: number;
  readonly maxLength: number;
  readonly validationBatches: number;
  readonly detail?: boolean;
  readonly threads?: number;
}

const repository = join(import.meta.dirname, "..");
const defaults = "float32,float32/int8,int8,int8/float32,llm-int8,int4:32,int4:64,int4:64/int8,nf4:64";

export function modesCommand(): Command {
  return new Command("modes")
    .description(
      "ways to hold the frozen base: speed, memory, gradient error, validation loss on the float32 base",
    )
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .requiredOption("--data <files...>", "dialogues as `attune train` reads them; .jsonl may be gzipped")
    .option("--rows <n>", "lines of each file that are read", count, 2000)
    .option("--modes <names>", "comma-separated; float32 is always among them", defaults)
    .option("--seeds <list>", "seeds of order and adapter, comma-separated", "1")
    .option("--steps <n>", "steps of training", count, 40)
    .option("--batch <n>", "replies a step", count, 16)
    .option("--micro-tokens <n>", "most tokens computed at once", count, 700)
    .option("--max-length <n>", "longest sequence in tokens", count, 512)
    .option("--validation-batches <n>", "micro-batches to validate on", count, 8)
    .option("--detail", "also loss and gradient over bits, block sizes and layers")
    .option("--threads <n>", "threads; default: the physical cores", count)
    .action(compareModes);
}

interface Trained {
  readonly tokensPerSecond: number;
  readonly heldBytes: number;
  readonly peakBytes: number;
  readonly lossError: number;
  readonly cosine: number;
  readonly relative: number;
}

interface Outcome extends Trained {
  readonly validation: number;
}

async function compareModes(flags: Flags): Promise<void> {
  const modes = [...new Set(["float32", ...flags.modes.split(",")])].map(modeNamed);
  const seeds = flags.seeds.split(",").map(Number);
  if (seeds.some((seed) => !Number.isInteger(seed) || seed < 0))
    throw new UserError(`--seeds is ${flags.seeds}; it must be whole numbers`, {
      next: "For example 1,2,3.",
    });
  const work = join(repository, ".cache", "bench", `modes-${process.pid}`);
  await mkdir(work, { recursive: true });
  const say = (lines: readonly string[]): void => void process.stdout.write(`${lines.join("\n")}\n`);
  say([
    `modes: ${flags.steps} steps of ${flags.batch} replies, seeds ${flags.seeds}, LoRA q,v rank 16; ${processorName()}, load ${loadAverage()}`,
  ]);
  try {
    for (const data of flags.data) {
      const file = await firstLines(data, flags.rows, work);
      const outcomes = new Map<string, Outcome[]>();
      const untrained: number[] = [];
      let detail: string[] = [];
      for (const seed of seeds) {
        const job = jobOf(flags, { data: file, seed, work });
        const trained = new Map<string, Trained>();
        for (const mode of modes) {
          const one = (await runSide({ ...job, role: "train", mode })) as unknown as Trained;
          trained.set(nameOf(mode), one);
          process.stderr.write(
            `${basename(data)}, seed ${seed}: ${nameOf(mode)} ${one.tokensPerSecond.toFixed(0)} tokens/s, gradient cosine ${one.cosine.toFixed(5)}\n`,
          );
        }
        const names = [...trained.keys()];
        const { validation } = (await runSide({ ...job, role: "judge", modes: names })) as {
          validation: Record<string, number>;
        };
        untrained.push(validation["untrained"]!);
        for (const [name, one] of trained) {
          const known = outcomes.get(name) ?? [];
          outcomes.set(name, [...known, { ...one, validation: validation[name]! }]);
        }
        if (flags.detail === true && seed === seeds[0])
          detail = detailTable(await runSide({ ...job, role: "detail" }));
      }
      say(["", `### ${basename(data)}`, "", ...table(modes, outcomes, mean(untrained)), ...detail]);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function jobOf(flags: Flags, given: Pick<SideJob, "data" | "seed" | "work">): SideJob {
  return {
    role: "train",
    model: flags.model,
    steps: flags.steps,
    batch: flags.batch,
    microTokens: flags.microTokens,
    maxLength: flags.maxLength,
    validationBatches: flags.validationBatches,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    mode: { base: "float32" },
    modes: [],
    ...given,
  };
}

const execute = promisify(execFile);

async function runSide(job: SideJob): Promise<Record<string, unknown>> {
  const side = join(import.meta.dirname, "modes-side.ts");
  try {
    const { stdout } = await execute(process.execPath, ["--import", "tsx", side, JSON.stringify(job)], {
      cwd: repository,
      maxBuffer: 1 << 26,
    });
    return parseJson(stdout.trim().split("\n").at(-1)!, nameOf(job.mode)) as Record<string, unknown>;
  } catch (error) {
    const { stderr = "" } = error as { stderr?: string };
    const reason = stderr.split("\n").find((line) => line.includes("Error")) ?? String(error);
    throw new UserError(`${nameOf(job.mode)} failed: ${reason}`, { cause: error });
  }
}

/** The first lines of a text file, gzipped or not, as a file of their own. */
async function firstLines(path: string, count: number, work: string): Promise<string> {
  const packed = path.endsWith(".gz");
  const name = basename(packed ? path.slice(0, -3) : path);
  const source = createReadStream(path);
  const kept: string[] = [];
  for await (const line of createInterface(packed ? source.pipe(createGunzip()) : source)) {
    kept.push(line);
    if (kept.length >= count) break;
  }
  source.destroy();
  const file = join(work, name);
  await writeFile(file, `${kept.join("\n")}\n`);
  return file;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const percent = (share: number, digits = 2): string => `${(100 * share).toFixed(digits)} %`;

function table(
  modes: readonly Mode[],
  outcomes: ReadonlyMap<string, readonly Outcome[]>,
  untrained: number,
): string[] {
  const exact = outcomes.get("float32")!;
  const rows = modes.map((mode) => {
    const all = outcomes.get(nameOf(mode))!;
    const of = (key: keyof Outcome): number => mean(all.map((one) => one[key]));
    const losses = all.map(({ validation }, i) => validation / exact[i]!.validation - 1);
    return [
      mode.base + (mode.blockSize === undefined ? "" : ` (${mode.blockSize})`),
      mode.backward ?? (mode.base === "int8" ? "int8" : "float32"),
      of("tokensPerSecond").toFixed(0),
      formatBytes(of("heldBytes")),
      formatBytes(Math.max(...all.map(({ peakBytes }) => peakBytes))),
      percent(of("lossError"), 3),
      of("cosine").toFixed(5),
      of("relative").toFixed(4),
      of("validation").toFixed(5),
      all.length === 1
        ? percent(losses[0]!)
        : `${percent(mean(losses))} (${percent(Math.min(...losses))} to ${percent(Math.max(...losses))})`,
    ];
  });
  const head = [
    "base",
    "backward",
    "tokens/s",
    "base held",
    "peak",
    "loss, first batch",
    "gradient cosine",
    "gradient error",
    `validation (untrained ${untrained.toFixed(5)})`,
    "against float32",
  ];
  return markdown(head, rows);
}

function detailTable(result: Record<string, unknown>): string[] {
  const { details } = result as {
    details: { name: string; lossError: number; cosine: number; relative: number; heldBytes: number }[];
  };
  const rows = details.map(({ name, lossError, cosine, relative, heldBytes }) => [
    name,
    formatBytes(heldBytes),
    percent(lossError, 3),
    cosine.toFixed(5),
    relative.toFixed(4),
  ]);
  return [
    "",
    ...markdown(["held as", "bytes", "loss, first batch", "gradient cosine", "gradient error"], rows),
  ];
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}
