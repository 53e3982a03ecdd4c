/** Runs killed with SIGKILL at random moments, also inside a checkpoint's write: every resume gives the uninterrupted run. */
import { spawn } from "node:child_process";
import { readFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Progress, withoutTimes } from "../train/index.ts";
import { type Random, random } from "../util/index.ts";
import type { KilledRun } from "./killed-run.testing.ts";
import { isRunFolder, readEvents } from "./run-folder.ts";
import type { TrainConfig } from "./schema.ts";
import { tinyProject } from "./tiny-project.testing.ts";

const script = fileURLToPath(new URL("killed-run.testing.ts", import.meta.url));
const slow = process.env["ATTUNE_SLOW"] === "1";
const kills = slow ? 30 : 5;
/** Kills of one run, one after another, before it may end. */
const killsARun = 5;

let scratch: string;
let config: TrainConfig;
let whole: Outcome;
let operations: number;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "attune-kill-"));
  config = await tinyProject(scratch, 24, {
    seed: 7,
    lora: { rank: 2 },
    // Several micro-batches a step, so that there is a gradient noise scale to go on from.
    training: { steps: 10, batch: 4, microTokens: 150, lanes: 2, fold: false },
    optimizer: { learningRate: 0.01 },
    evaluation: { every: 3, probes: 1 },
    checkpoint: { every: 2, keep: 2 },
  });
  const { output } = await run({ config, folder: join(scratch, "whole"), resume: false });
  operations = (JSON.parse(output) as { operations: number }).operations;
  whole = await outcome(join(scratch, "whole"));
}, 300_000);
afterAll(() => rm(scratch, { recursive: true, force: true }));

interface Outcome {
  readonly events: readonly unknown[];
  /** By file name. */
  readonly adapter: Readonly<Record<string, string>>;
  /** Of the last checkpoint. */
  readonly progress: Progress;
}

async function outcome(folder: string): Promise<Outcome> {
  const adapter: Record<string, string> = {};
  for (const name of (await readdir(join(folder, "adapter"))).sort())
    adapter[name] = (await readFile(join(folder, "adapter", name))).toString("base64");
  const checkpoints = join(folder, "checkpoints");
  const last = (await readdir(checkpoints))
    .filter((name) => /^step-\d+$/.test(name))
    .sort()
    .at(-1)!;
  const { progress } = JSON.parse(await readFile(join(checkpoints, last, "checkpoint.json"), "utf8")) as {
    progress: Progress;
  };
  return { events: (await readEvents(folder)).map(withoutTimes), adapter, progress };
}

function run(request: KilledRun): Promise<{ signal: NodeJS.Signals | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--import", "tsx", script, JSON.stringify(request)]);
    let [output, errors] = ["", ""];
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") resolve({ signal, output });
      else reject(new Error(`the run ended with ${code}: ${errors}`));
    });
  });
}

/** Two of three kills fall on an operation of the file system, the others anywhere. */
function moment(dice: Random): Partial<KilledRun> {
  return dice.next() < 0.67
    ? { killAfterOperations: 1 + dice.integer(Math.ceil(operations / 2)) }
    : { killAfterMilliseconds: 500 + dice.integer(3000) };
}

test(`${kills} kills, every resume the uninterrupted run bit for bit`, { timeout: 1_800_000 }, async () => {
  expect(whole.events.length).toBeGreaterThan(20);
  expect(whole.progress.noise!.weight).toBeGreaterThan(0);
  const dice = random(slow ? Date.now() % 1e6 : 11, "kills");
  let killed = 0;
  for (let number = 0; killed < kills; number++) {
    const folder = join(scratch, `run ${number}`);
    const moments: string[] = [];
    for (let kill = 0; ; kill++) {
      const resume = await isRunFolder(folder);
      const when = kill < killsARun && killed < kills ? moment(dice) : {};
      moments.push(JSON.stringify(when));
      const { signal } = await run({ config, folder, resume, ...when });
      if (signal === null) break;
      killed += 1;
    }
    expect(await outcome(folder), `killed at ${moments.join(", ")}`).toEqual(whole);
  }
});

test(
  "a checkpoint with a wrong hash is passed over for the one before it, with a warning",
  { timeout: 300_000 },
  async () => {
    const folder = join(scratch, "damaged");
    const half = Math.ceil(operations * 0.7);
    expect((await run({ config, folder, resume: false, killAfterOperations: half })).signal).toBe("SIGKILL");
    const checkpoints = (await readdir(join(folder, "checkpoints")))
      .filter((name) => /^step-\d+$/.test(name))
      .sort();
    expect(checkpoints.length).toBeGreaterThan(1);
    const state = join(folder, "checkpoints", checkpoints.at(-1)!, "state.safetensors");
    const bytes = await readFile(state);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(state, bytes);
    const { notices } = JSON.parse((await run({ config, folder, resume: true })).output) as {
      notices: string[];
    };
    expect(notices).toEqual([
      expect.stringMatching(
        /^the checkpoint .*step-\d+ is damaged and was passed over: its state has another hash/,
      ),
    ]);
    expect(await outcome(folder)).toEqual(whole);
  },
);

test("so does a run in fp16, its loss scale and skipped steps included", { timeout: 300_000 }, async () => {
  const mixed: TrainConfig = {
    ...config,
    // A scale at which the first steps overflow float16: a resume that forgot the loss scale would skip anew.
    lora: { ...config.lora, rank: 1, alpha: 64 },
    training: { ...config.training, steps: 4, precision: "fp16" },
    optimizer: { ...config.optimizer, learningRate: 1e-7 },
    evaluation: { ...config.evaluation, every: 2, probes: 0 },
    checkpoint: { ...config.checkpoint, every: 1 },
  };
  const { output } = await run({ config: mixed, folder: join(scratch, "fp16 whole"), resume: false });
  const want = await outcome(join(scratch, "fp16 whole"));
  const told = want.events as readonly { type: string; lossScale?: number }[];
  expect(told.filter(({ type }) => type === "skipped").length).toBeGreaterThan(0);
  expect(told.findLast(({ type }) => type === "step")?.lossScale).toBeLessThan(65_536);
  const folder = join(scratch, "fp16 killed");
  const { operations: all } = JSON.parse(output) as { operations: number };
  const killed = await run({
    config: mixed,
    folder,
    resume: false,
    killAfterOperations: Math.ceil(all * 0.7),
  });
  expect(killed.signal).toBe("SIGKILL");
  expect((await readdir(join(folder, "checkpoints"))).length).toBeGreaterThan(0);
  await run({ config: mixed, folder, resume: true });
  expect(await outcome(folder)).toEqual(want);
});
