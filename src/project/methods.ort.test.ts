/** Methods of training through whole runs: from the configuration to what is saved, opened again and gone on with. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdapter } from "../model/weights/index.ts";
import type { RunEvent } from "../train/index.ts";
import { openModelSource } from "./model-source.ts";
import { startResponder } from "./responder.ts";
import type { TrainConfig } from "./schema.ts";
import { tinyProject } from "./tiny-project.testing.ts";
import { prepareRun, runTraining } from "./train-run.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-methods-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const settings = {
  training: { steps: 3, batch: 4 },
  evaluation: { every: 3, probes: 1 },
  optimizer: { learningRate: 0.01 },
  runtime: { threads: 1 },
};

async function run(config: TrainConfig, folder: string, resume = false): Promise<RunEvent[]> {
  await using prepared = await prepareRun(config);
  const events: RunEvent[] = [];
  for await (const event of runTraining(prepared, { folder, resume, origins: new Map() })) events.push(event);
  return events;
}

const evaluations = (events: readonly RunEvent[]): number[] =>
  events.flatMap((event) => (event.type === "evaluation" ? [event.validationLoss] : []));

async function reply(folder: string): Promise<string> {
  await using source = await openModelSource(folder);
  await using responder = await startResponder(source, { slots: 1, capacity: 128, threads: 1 });
  const { ids } = responder.fit([{ role: "user", content: "tea?" }], 8);
  const options = {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    maxNewTokens: 8,
    stopStrings: [],
    seed: 0,
  };
  let text = "";
  for await (const event of responder.reply([{ key: 0, ids }], options as never, 128))
    if (event.type === "reply") text = event.text;
  return text;
}

test("DoRA with whole modules and a new separator: saved, opened, answered with, and gone on from", async () => {
  const project = await mkdtemp(join(root, "dora-"));
  const lora = {
    rank: 2,
    dora: true,
    targets: ".*layers\\.1\\..*(q_proj|down_proj)",
    modulesToSave: ["norm"],
  };
  const config = await tinyProject(project, 24, { ...settings, lora, template: { separator: "<sep>" } });
  const folder = join(project, "run");
  const [before, after] = evaluations(await run(config, folder));
  expect(after).toBeLessThan(before!);
  await reply(folder);
  await using source = await openModelSource(folder);
  const adapter = await loadAdapter(join(folder, "adapter"), source.chat.store);
  expect([...adapter.layers.keys()]).toEqual([
    "model.layers.1.mlp.down_proj",
    "model.layers.1.self_attn.q_proj",
  ]);
  expect([...adapter.layers.values()].every(({ magnitude }) => magnitude !== undefined)).toBe(true);
  expect(adapter.replaced!.has("model.norm.weight")).toBe(true);
  expect([...adapter.tokenRows!.keys()]).toEqual(["model.embed_tokens.weight"]);

  const next = { ...config, lora: { ...config.lora, from: join(folder, "adapter") } };
  const [goneOn] = evaluations(await run(next, join(project, "next")));
  expect(goneOn).toBeCloseTo(after!, 5);
  const other = { ...next, lora: { ...next.lora, rank: 3 } };
  await expect(run(other, join(project, "other"))).rejects.toThrow(
    /has rank 2, but the configuration says 3 \(lora.from\). Set lora.rank to 2/,
  );
  const targets = { ...next, lora: { ...next.lora, targets: ["q_proj"] } };
  await expect(run(targets, join(project, "other"))).rejects.toThrow(
    /has targets \[.*\], but the configuration says/,
  );
});

test("every weight: the model is saved whole, opens by itself, and a resumed run goes on bit for bit", async () => {
  const project = await mkdtemp(join(root, "full-"));
  const config = await tinyProject(project, 24, { ...settings, method: "full", checkpoint: { every: 2 } });
  const folder = join(project, "run");
  const [before, after] = evaluations(await run(config, folder));
  expect(after).toBeLessThan(before!);
  await reply(folder);
  await using source = await openModelSource(join(folder, "model"));
  expect(source.chat.spec.layers).toBe(2);
  const saved = await readFile(join(folder, "model", "model.safetensors"));
  await rm(join(folder, "checkpoints", "step-00000003"), { recursive: true });
  const again = await run(config, folder, true);
  expect(evaluations(again)).toEqual([after]);
  expect(await readFile(join(folder, "model", "model.safetensors"))).toEqual(saved);
});

test("dropout in the configuration reaches the steps, and evaluations drop nothing", async () => {
  const project = await mkdtemp(join(root, "dropout-"));
  const figures = async (name: string, dropout: object): Promise<[number, number]> => {
    const training = { ...settings.training, dropout };
    const config = await tinyProject(project, 24, { ...settings, training, lora: { dropout: 0 } });
    const events = await run(config, join(project, name));
    const first = events.find((event) => event.type === "step")!;
    return [evaluations(events)[0]!, first.loss];
  };
  const [before, loss] = await figures("none", {});
  for (const kind of ["residual", "attention"]) {
    const [measured, dropped] = await figures(kind, { [kind]: 0.3 });
    expect(measured).toBe(before);
    expect(dropped).not.toBe(loss);
  }
});
