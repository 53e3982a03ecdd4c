/** From the command to the first step: `attune train` as a user runs it, the built program in a process of its own. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cp, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { Command } from "commander";
import { UserError, formatBytes } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, median, peakOf, processorName } from "./machine.ts";

interface Flags {
  readonly model: string;
  readonly data: string;
  readonly base: string;
  readonly rounds: number;
  readonly steps: boolean;
  readonly evaluation?: boolean;
  readonly set: readonly string[];
  readonly json?: boolean;
}

type Event = Readonly<Record<string, unknown>> & { readonly type: string };

/** Seconds from the start of the process, but for those of the parts. */
interface Start {
  readonly parts: Readonly<Record<string, number>>;
  /** Model and data are read, graphs and session stand: the first step, or the evaluation before it, can begin. */
  readonly ready: number;
  /** Of the evaluation before the first step, and of its sample replies. */
  readonly evaluation?: number;
  readonly probe?: number;
  readonly firstStepBegins?: number;
  readonly firstStepEnds?: number;
  /** Most bytes resident until `ready`; absent where the system does not tell. */
  readonly peakBytes?: number;
}

const repository = join(import.meta.dirname, "..");
const folder = join(repository, ".cache", "bench", "start");

export function startCommand(): Command {
  return new Command("start")
    .description("seconds from the command `attune train` to its first step, and where they go")
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .option("--data <file>", "what is trained on", join(repository, "assets/quickstart/train.jsonl"))
    .option("--base <names>", "training.base of each row", "float32,int8,int4")
    .option("--rounds <n>", "processes of each base, in turn; the middle one by `ready` counts", count, 3)
    .option("--no-steps", "end each process when its first step could begin")
    .option("--evaluation", "keep the evaluation before the first step, which reads the whole validation set")
    .option(
      "--set <key=value>",
      "a setting of all of them",
      (value: string, all: readonly string[]) => [...all, value],
      [] as readonly string[],
    )
    .option("--json", "print a JSON line a base")
    .action(start);
}

async function start(flags: Flags): Promise<void> {
  const program = await build();
  const bases = flags.base.split(",");
  const found = new Map<string, Start[]>(bases.map((base) => [base, []]));
  for (let round = 0; round < flags.rounds; round++)
    for (const base of bases) found.get(base)!.push(await measure(program, base, flags));
  const results = bases.map((base) => ({ base, ...middle(found.get(base)!) }));
  if (flags.json === true) {
    for (const result of results) process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const names = Object.keys(results[0]!.parts);
  const say = (cells: readonly string[]): void => void process.stdout.write(`| ${cells.join(" | ")} |\n`);
  process.stdout.write(`${processorName()}, load ${loadAverage()}, ${flags.rounds} round(s), seconds\n`);
  say(["base", ...names, "**ready**", "peak", "evaluation", "replies", "step begins", "step ends"]);
  say(Array.from({ length: names.length + 7 }, () => "---"));
  const seconds = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(2));
  for (const { base, parts, ready, peakBytes, evaluation, probe, ...step } of results) {
    say([
      base,
      ...names.map((name) => seconds(parts[name])),
      `**${seconds(ready)}**`,
      peakBytes === undefined ? "–" : formatBytes(peakBytes),
      seconds(evaluation),
      seconds(probe),
      seconds(step.firstStepBegins),
      seconds(step.firstStepEnds),
    ]);
  }
}

/** The package as it is published, without its sources: what `bin/attune.js` then starts is `dist`. */
async function build(): Promise<string> {
  const program = join(folder, "program");
  await rm(program, { recursive: true, force: true });
  await mkdir(program, { recursive: true });
  const compiler = join(repository, "node_modules", "typescript", "bin", "tsc");
  const settings = join(repository, "tsconfig.build.json");
  const words = [compiler, "-p", settings, "--outDir", join(program, "dist")];
  await promisify(execFile)(process.execPath, words).catch((error: Error & { readonly stdout?: string }) => {
    throw new UserError(`the program cannot be built:\n${error.stdout ?? error.message}`, { cause: error });
  });
  await cp(join(repository, "bin"), join(program, "bin"), { recursive: true });
  await cp(join(repository, "package.json"), join(program, "package.json"));
  await symlink(join(repository, "node_modules"), join(program, "node_modules"));
  return join(program, "bin", "attune.js");
}

async function measure(program: string, base: string, flags: Flags): Promise<Start> {
  const out = join(folder, "run");
  await rm(out, { recursive: true, force: true });
  const settings = [
    `training.base=${base}`,
    ...(flags.evaluation === true ? [] : ["data.validationShare=0"]),
    ...flags.set,
  ];
  const words = ["train", "--model", flags.model, "--data", flags.data, "--out", out, "--json"];
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [program, ...words, ...settings.flatMap((setting) => ["--set", setting])],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  try {
    return await watch(child, began, flags.steps);
  } finally {
    const closed = child.exitCode === null && new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await closed;
    await rm(out, { recursive: true, force: true });
  }
}

async function watch(child: ChildProcess, began: number, steps: boolean): Promise<Start> {
  const said: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => said.push(line));
  let parts: Record<string, number> = {};
  let ready: number | undefined;
  let [evaluation, probe, peakBytes]: (number | undefined)[] = [];
  let before = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    const now = (performance.now() - began) / 1000;
    const event = JSON.parse(line) as Event;
    if (event.type === "started") {
      const inside = event["startSeconds"] as Record<string, number>;
      const program = now - Object.values(inside).reduce((sum, one) => sum + one, 0);
      parts = { program, ...inside };
      ready = now;
      peakBytes = peakOf(child.pid!);
    } else if (event.type === "evaluation" && evaluation === undefined) {
      evaluation = event["seconds"] as number;
      // Sample replies come between the loss and its event.
      probe = now - before - evaluation;
    }
    before = now;
    const isStep = event.type === "step";
    if (ready === undefined || (steps && !isStep)) continue;
    return {
      parts,
      ready,
      ...(peakBytes === undefined ? {} : { peakBytes }),
      ...(evaluation === undefined ? {} : { evaluation, probe: probe! }),
      ...(isStep ? { firstStepBegins: now - (event["seconds"] as number), firstStepEnds: now } : {}),
    };
  }
  throw new UserError(`attune train ended before its first step:\n${said.slice(-20).join("\n")}`);
}

/** The round whose `ready` is the median. */
function middle(rounds: readonly Start[]): Start {
  const wanted = median(rounds.map(({ ready }) => ready));
  return rounds.reduce((best, one) =>
    Math.abs(one.ready - wanted) < Math.abs(best.ready - wanted) ? one : best,
  );
}
