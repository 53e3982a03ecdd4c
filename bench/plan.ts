/** What `attune train --dry-run` expects of a run, and what comes true: peak memory and the time of a step. */
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Command } from "commander";
import { UserError, formatBytes, formatDuration } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, processorName } from "./machine.ts";

interface Flags {
  readonly model: string;
  readonly data: string;
  readonly rows: number;
  readonly steps: string;
  readonly batch: string;
  readonly only?: string;
  readonly set: readonly string[];
  readonly json?: boolean;
}

type Event = Readonly<Record<string, unknown>> & { readonly type: string };

/** By name: what each differs in from the defaults with rows of at most 384 tokens. */
const configurations: Readonly<Record<string, readonly string[]>> = {
  float32: [],
  "8-bit base": ["training.base=int8"],
  "4-bit base": ["training.base=nf4"],
  "blocks recomputed": ["training.checkpointing=blocks"],
  "rank 64, all layers": ["lora.rank=64", "lora.targets=all-linear"],
  "rows to 1,024 tokens": ["training.maxLength=1024"],
  "activations in float16": ["training.activations=float16"],
};

interface Outcome {
  readonly name: string;
  readonly peakExpected: number;
  readonly peak: number;
  readonly stepExpected: number;
  readonly step: number;
  /** What the plan says of the whole run, and what that took. */
  readonly wholeExpected: number;
  readonly whole: number;
  readonly tokensPerSecond: number;
}

const repository = join(import.meta.dirname, "..");
const folder = join(repository, ".cache", "bench", "plan");

export function planCommand(): Command {
  return new Command("plan")
    .description("peak memory and seconds a step: what a plan expects, and what a run of a few steps says")
    .option("--model <path>", "a model folder or .gguf file", join(repository, "assets/quickstart/model"))
    .option("--data <file>", "JSON lines of dialogues", join(repository, "assets/quickstart/train.jsonl"))
    .option("--rows <n>", "how many of its lines are read", count, 240)
    .option("--steps <n>", "steps of each run; the first does not count as time", "6")
    .option("--batch <n>", "replies a step", "8")
    .option("--only <names>", `of ${Object.keys(configurations).join("; ")}, separated by ;`)
    .option(
      "--set <key=value>",
      "a setting of all of them",
      (value: string, all: readonly string[]) => [...all, value],
      [] as readonly string[],
    )
    .option("--json", "print a JSON line a configuration")
    .action(plan);
}

async function plan(flags: Flags): Promise<void> {
  const names = flags.only?.split(";").map((name) => name.trim()) ?? Object.keys(configurations);
  const unknown = names.find((name) => configurations[name] === undefined);
  if (unknown !== undefined) {
    throw new UserError(`--only ${unknown} is unknown`, {
      next: `Choose from: ${Object.keys(configurations).join("; ")}.`,
    });
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const data = join(folder, "data.jsonl");
  const lines = (await readFile(flags.data, "utf8")).split("\n").slice(0, flags.rows);
  await writeFile(data, `${lines.join("\n")}\n`);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (flags.json !== true) {
    say(`${processorName()}, load ${loadAverage()}; ${flags.steps} steps of ${flags.batch} replies`);
    say("| configuration | peak expected | came true | off | a step expected | came true | off |");
    say("|---|---|---|---|---|---|---|");
  }
  for (const name of names) {
    const outcome = await compare(name, data, flags);
    if (flags.json === true) say(JSON.stringify(outcome));
    else say(`| ${cells(outcome).join(" | ")} |`);
  }
}

function cells({ name, peakExpected, peak, stepExpected, step }: Outcome): readonly string[] {
  const off = (expected: number, came: number): string => {
    const percent = 100 * (expected / came - 1);
    return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)} %`;
  };
  return [
    name,
    formatBytes(peakExpected),
    formatBytes(peak),
    off(peakExpected, peak),
    formatDuration(stepExpected),
    formatDuration(step),
    off(stepExpected, step),
  ];
}

/** The plan in a process of its own, as is the run after it, which reads what the plan measured. */
async function compare(name: string, data: string, flags: Flags): Promise<Outcome> {
  const out = join(folder, "run");
  await rm(out, { recursive: true, force: true });
  const settings = [
    `training.steps=${flags.steps}`,
    `training.batch=${flags.batch}`,
    "training.maxLength=384",
    ...flags.set,
    ...configurations[name]!,
  ];
  const words = ["train", "--model", flags.model, "--data", data, "--out", out, "--json"];
  const all = [...words, ...settings.flatMap((setting) => ["--set", setting])];
  await attune([...all, "--dry-run"]);
  const events = await attune(all);
  const of = (type: string): Event => events.find((event) => event.type === type)!;
  const [prediction, result] = [of("prediction"), of("result")];
  const steps = events.filter(({ type }) => type === "step");
  // Memory is touched for the first time in the first step; steps of different lengths by their tokens.
  const tokens = (some: readonly Event[]): number => sum(some.map((event) => Number(event["tokens"])));
  const timed = steps.slice(1);
  const seconds = sum(timed.map((event) => Number(event["seconds"])));
  return {
    name,
    peakExpected: Number(prediction["peakBytes"]),
    peak: Number(result["peakBytes"]),
    stepExpected: Number(prediction["stepSeconds"]),
    step: ((seconds / tokens(timed)) * tokens(steps)) / steps.length,
    wholeExpected: Number(prediction["totalSeconds"]),
    whole: Number(result["seconds"]),
    tokensPerSecond: tokens(timed) / seconds,
  };
}

async function attune(words: readonly string[]): Promise<readonly Event[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(repository, "bin", "attune.js"), ...words],
    { env: { ...process.env, XDG_CACHE_HOME: join(folder, "cache") }, maxBuffer: 1e8 },
  );
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Event);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
