/** Dialogues longer than the limit through a whole run: where they are cut, and that what was cut is counted and kept. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cutOf } from "./plan.ts";
import { resolveConfig } from "./resolve.ts";
import { readRunManifest } from "./run-folder.ts";
import { trainConfigSchema } from "./schema.ts";
import { prepareRun, runTraining } from "./train-run.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-cut-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const model = fileURLToPath(new URL("../../assets/quickstart/model", import.meta.url));
const system = "You answer for a tea shop.";

/** Exchanges numbered from 0; only the last reply is learned, so that a row is one window. */
function dialogue(id: number, exchanges: number): string {
  const turns = Array.from({ length: exchanges }, (_, i) => [
    { role: "user", content: `question ${i} of customer ${id} about an order` },
    { role: "assistant", content: `answer ${i}: it is on its way`, supervised: i === exchanges - 1 },
  ]).flat();
  return JSON.stringify({ id: `d${id}`, messages: [{ role: "system", content: system }, ...turns] });
}

test("system and first turns stay, whole turns go, and every message that went is counted", async () => {
  const file = async (name: string, lengths: readonly number[]): Promise<string> => {
    const path = join(root, name);
    await writeFile(path, `${lengths.map((length, id) => dialogue(id, length)).join("\n")}\n`);
    return path;
  };
  const { config } = await resolveConfig(trainConfigSchema, {
    flags: { model, data: await file("train.jsonl", [2, 14, 20]) },
    set: [
      `data.validation=${await file("validation.jsonl", [16])}`,
      "training.maxLength=200",
      "template.keepFirstTurns=1",
      "training.steps=1",
      "training.batch=1",
      "evaluation.probes=0",
      "runtime.threads=1",
    ],
  });
  await using prepared = await prepareRun(config);
  const { plan, model: opened } = prepared;
  const decode = (ids: Iterable<number>): string => opened.renderer.tokenizer.decode(ids);
  const rows = (microBatches: (typeof plan.validation)[number]["microBatches"]): readonly string[] =>
    microBatches.flat().map(({ ids }) => decode(Array.from(ids)));
  const training = Array.from({ length: plan.summary.stepsPerEpoch }, (_, step) =>
    rows(plan.training.batch(step).microBatches),
  ).flat();
  const validation = plan.validation.flatMap(({ microBatches }) => rows(microBatches));

  const left = (text: string): number[] => [...text.matchAll(/question (\d+) of/g)].map(([, n]) => Number(n));
  let messages = 0;
  for (const [set, lengths] of [
    [training, [2, 14, 20]],
    [validation, [16]],
  ] as const) {
    for (const length of lengths) {
      const text = set.find((one) => one.includes(`answer ${length - 1}:`))!;
      const kept = left(text);
      const last = Array.from({ length: kept.length - 1 }, (_, i) => length - kept.length + 1 + i);
      expect(text).toContain(system);
      // The first exchange and a run of the last ones, each with its answer.
      expect(kept).toEqual([0, ...last]);
      expect([...text.matchAll(/answer (\d+):/g)].map(([, n]) => Number(n))).toEqual(kept);
      if (set === training) messages += 2 * (length - kept.length);
    }
  }
  const cut = cutOf(plan.summary);
  expect(cut.training).toEqual({ rows: 2, messages, rejected: 0 });
  expect(messages).toBeGreaterThan(10);
  expect(cut.validation).toMatchObject({ rows: 1, rejected: 0 });

  const folder = join(root, "run");
  for await (const event of runTraining(prepared, { folder, resume: false, origins: new Map() }))
    if (event.type === "started") break;
  expect((await readRunManifest(folder)).data).toMatchObject({ cut });
});
