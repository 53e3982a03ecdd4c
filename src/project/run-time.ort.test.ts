/** The time of a run: from speeds that are given, and from a real calibration of the embedded model. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Graph, viewRows } from "../compute/graph/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import type { Calibration } from "../train/index.ts";
import { calibrationKey, keepCalibration } from "./calibration-cache.ts";
import { resolveConfig } from "./resolve.ts";
import { predictRunTime } from "./run-time.ts";
import { trainConfigSchema } from "./schema.ts";
import { type PreparedRun, prepareRun } from "./train-run.ts";

const quickstart = join(import.meta.dirname, "../../assets/quickstart");
let folder: string;
let runtime: Runtime;
const prepared = new Map<string, PreparedRun>();

/** The run with these settings besides; planned once. */
async function planned(...set: readonly string[]): Promise<PreparedRun> {
  const key = set.join();
  const known = prepared.get(key);
  if (known !== undefined) return known;
  const { config } = await resolveConfig(trainConfigSchema, {
    flags: { model: join(quickstart, "model"), "data.train": join(folder, "train.jsonl") },
    set: ["training.batch=4", "training.steps=7", "evaluation.every=3", ...set],
  });
  const run = await prepareRun(config);
  prepared.set(key, run);
  return run;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-run-time-"));
  const rows = (await readFile(join(quickstart, "train.jsonl"), "utf8")).split("\n").slice(0, 60);
  await writeFile(join(folder, "train.jsonl"), rows.join("\n"));
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
  for (const run of prepared.values()) await run[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** As a run compiles the graph. */
function nodesOf(graph: Graph): number {
  return viewRows(graph).graph.nodes.length;
}

describe("speeds that are given", () => {
  /** A second a node, and nothing else counts. */
  const nodesAlone: Calibration = {
    rates: {
      operationsPerSecond: { matrix: 1e30, heads: 1e30, integer: 1e30, blocks: 1e30 },
      bytesPerSecond: 1e30,
      nodeSeconds: 1,
    },
    passes: [{ seconds: 1, factor: 1 }],
    measuringFactor: 1,
    updateFactor: 1,
  };

  test("are counted over the micro-batches of the run's steps, and its evaluations", async () => {
    const { plan, model } = await planned();
    const file = join(folder, "given.json");
    const ask = () => predictRunTime({ plan, model, runtime, measure: false, file });
    expect(await ask()).toBeUndefined();
    await keepCalibration(calibrationKey(runtime, plan, model.spec), nodesAlone, file);
    const time = (await ask())!;
    const graphs = plan.memory.graphs(plan.choice.settings);
    const batches = Array.from({ length: 7 }, (_, step) => plan.training.batch(step));
    const passes = batches.reduce((sum, { microBatches }) => sum + microBatches.length, 0);
    const step = (passes / 7) * nodesOf(graphs.step) + nodesOf(graphs.update);
    expect(time.stepSeconds).toBeCloseTo(step);
    const validation = plan.validation.flatMap(({ microBatches }) => microBatches);
    const evaluation = validation.length * nodesOf(graphs.measuring());
    expect(time.evaluationSeconds).toBeCloseTo(evaluation);
    // Before the first step, after 3 and 6, and after the last.
    expect(time.totalSeconds).toBeCloseTo(7 * step + 4 * evaluation);
  });

  test("that the graphs need and the file lacks, or that are none, foretell nothing", async () => {
    const { plan, model } = await planned();
    const file = join(folder, "broken.json");
    const { rates } = nodesAlone;
    for (const broken of [
      { ...rates, operationsPerSecond: {} },
      { ...rates, bytesPerSecond: 1e-320 },
    ]) {
      await keepCalibration(
        calibrationKey(runtime, plan, model.spec),
        { ...nodesAlone, rates: broken },
        file,
      );
      expect(await predictRunTime({ plan, model, runtime, measure: false, file })).toBeUndefined();
    }
  });

  test("are of one kind of run: other rows or another base were not measured", async () => {
    const { plan, model } = await planned();
    const key = calibrationKey(runtime, plan, model.spec);
    const keyOf = async (...set: readonly string[]) =>
      calibrationKey(runtime, (await planned(...set)).plan, model.spec);
    expect(await keyOf("training.base=int8")).not.toBe(key);
    expect(await keyOf("lora.rank=8")).not.toBe(key);
    expect(await keyOf("optimizer.learningRate=0.1")).toBe(key);
    expect(calibrationKey({ ...runtime, name: "other", threads: 1 }, plan, model.spec)).not.toBe(key);
  });
});

test.each([["lora.rank=16"], ["training.base=int8"], ["training.base=nf4"], ["method=full"]])(
  "a calibration with %s is measured, kept, and answers again without measuring",
  async (setting) => {
    const { plan, model } = await planned(setting);
    const file = join(folder, `${setting}.json`);
    const measured = (await predictRunTime({ plan, model, runtime, measure: true, file }))!;
    expect(await predictRunTime({ plan, model, runtime, measure: false, file })).toEqual(measured);
    const { rates, ...figures } = measured;
    for (const value of Object.values(figures)) expect(value).toBeGreaterThan(0);
    expect(rates.operationsPerSecond).toHaveProperty(setting.endsWith("int8") ? "integer" : "matrix");
    expect(measured.totalSeconds).toBeGreaterThan(7 * measured.stepSeconds);
  },
);
