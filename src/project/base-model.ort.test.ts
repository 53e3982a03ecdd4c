/** A run on a base in fewer bits through the project's own door: planned, stopped, resumed to the bit, refused clearly. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunEvent, withoutTimes } from "../train/index.ts";
import { tinySpec } from "../train/tiny-run.testing.ts";
import { backwardOf, calibrationRows, checkBase } from "./base-model.ts";
import { type TrainConfig, trainConfigSchema } from "./schema.ts";
import { prepareRun, runTraining } from "./train-run.ts";

const quickstart = fileURLToPath(new URL("../../assets/quickstart", import.meta.url));
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "attune-base-"));
  const rows = (await readFile(join(quickstart, "train.jsonl"), "utf8")).split("\n").slice(0, 24);
  await writeFile(join(scratch, "train.jsonl"), `${rows.join("\n")}\n`);
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

function configOf(training: Partial<TrainConfig["training"]>): TrainConfig {
  return trainConfigSchema.parse({
    model: join(quickstart, "model"),
    data: join(scratch, "train.jsonl"),
    lora: { rank: 2 },
    training: { steps: 4, batch: 2, ...training },
    evaluation: { every: 2, probes: 0 },
    checkpoint: { every: 1 },
  });
}

/** The events of a run; it is stopped after `steps` of them, where given. */
async function events(config: TrainConfig, folder: string, resume: boolean, steps = 99): Promise<RunEvent[]> {
  await using prepared = await prepareRun(config);
  const told: RunEvent[] = [];
  for await (const event of runTraining(prepared, { origins: new Map(), folder, resume })) {
    told.push(event);
    if (event.type === "checkpoint" && event.step >= steps) break;
  }
  return told;
}

test("nf4: a run that is stopped and resumed is the uninterrupted one", async () => {
  const config = configOf({ base: "nf4" });
  const [whole, parts] = [join(scratch, "whole"), join(scratch, "parts")];
  const all = await events(config, whole, false);
  expect(all.at(-1)!.type).toBe("finished");
  const first = await events(config, parts, false, 2);
  const rest = await events(config, parts, true);
  const steps = (told: readonly RunEvent[]): unknown[] =>
    told.filter(({ type }) => type === "step" || type === "evaluation").map(withoutTimes);
  expect([...steps(first), ...steps(rest)]).toEqual(steps(all));
  const adapter = (folder: string) => readFile(join(folder, "adapter", "adapter_model.safetensors"));
  expect((await adapter(parts)).equals(await adapter(whole))).toBe(true);
}, 120_000);

test("the plan counts the weights as they are held", async () => {
  const bytes = async (training: Partial<TrainConfig["training"]>): Promise<number> => {
    await using prepared = await prepareRun(configOf(training));
    return prepared.plan.summary.memory.weightBytes;
  };
  const linear = 6 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 640 * 256);
  const full = await bytes({});
  expect(full - (await bytes({ base: "nf4" }))).toBe(linear * (4 - 0.5 - 4 / 64));
  expect(full - (await bytes({ base: "int4", blockSize: 32 }))).toBe(linear * (4 - 0.5 - 4 / 32));
});

test("where a float32 base is too large, the same run in NF4 is looked at", async () => {
  await using prepared = await prepareRun(configOf({}));
  const { memory, choice, summary } = prepared.plan;
  const smaller = memory.inFewerBits()!;
  expect(smaller.predict(choice.settings).weightBytes).toBeLessThan(summary.memory.weightBytes / 1.5);
  await using already = await prepareRun(configOf({ base: "nf4" }));
  expect(already.plan.memory.inFewerBits()).toBeUndefined();
});

test("what trains or reads the base itself is refused on a base in fewer bits", () => {
  const { training } = configOf({ base: "nf4" });
  const message = (config: Parameters<typeof checkBase>[0]): string => {
    try {
      checkBase(config, tinySpec);
    } catch (error) {
      return (error as Error).message;
    }
    return "taken";
  };
  expect([
    message({ training, lora: { dora: true } }),
    message({ training, lora: {}, method: "full" }),
    message({ training: configOf({ backward: "int8" }).training, lora: { modulesToSave: ["up_proj"] } }),
    message({ training, lora: { modulesToSave: ["embed_tokens", "norm"] } }),
    message({ training: configOf({}).training, lora: { dora: true } }),
  ]).toMatchInlineSnapshot(`
    [
      "training.base is nf4, but lora.dora reads the base's rows as float32. Set training.base to float32 and leave training.backward out.",
      "training.base is nf4, but the method full trains the base itself. Set training.base to float32 and leave training.backward out.",
      "training.backward is int8, but lora.modulesToSave trains the base's own up_proj. Set training.base to float32 and leave training.backward out.",
      "taken",
      "taken",
    ]
  `);
});

test("what does not fit the model is refused before anything is loaded", async () => {
  await expect(prepareRun(configOf({ base: "stored" }))).rejects.toThrowErrorMatchingInlineSnapshot(
    `[UserError: training.base is stored, but the linear layers are stored as F16, not in blocks. Take a GGUF file in one of Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, or set training.base to int4, nf4 or int8.]`,
  );
});

test("a backward pass of its own choice", () => {
  expect(backwardOf({ base: "int8", backward: undefined, blockSize: 64 })).toBe("int8");
  expect(backwardOf({ base: "nf4", backward: undefined, blockSize: 64 })).toBe("float32");
  expect(backwardOf({ base: "float32", backward: "int8", blockSize: 64 })).toBe("int8");
});

test("calibration reads the shortest rows, as many as it needs, and one where that is enough", () => {
  const rows = [400, 90, 200, 120, 100, 60].map((length) => ({
    ids: Array.from({ length }, () => 1),
    weights: Array.from({ length }, () => 1),
  }));
  const lengths = (of: Parameters<typeof calibrationRows>[0]): number[] =>
    calibrationRows(of).map(({ ids }) => ids.length);
  expect(lengths(rows)).toEqual([60, 90, 100, 120]);
  expect(lengths(rows.slice(0, 1))).toEqual([400]);
});
