/** Checkpoints on disk: what goes in comes out, what is damaged is passed over, old ones go. */
import { mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Progress, latestCheckpoint, pruneCheckpoints, saveCheckpoint } from "./checkpoint.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-checkpoints-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const state = (from: number) => ({
  parameters: Float32Array.of(from, Math.PI, -0),
  firstMoment: Float32Array.of(from + 1, 1e-38, Number.MIN_VALUE),
  secondMoment: Float32Array.of(from + 2, 0, 3e38),
});
const progress = (step: number): Progress => ({
  step,
  draws: 3 * step,
  before: 2.5,
  best: { loss: 1 / 3, step: 2, stale: 1 },
  evaluatedAt: step - 1,
  events: 17,
});
const save = (step: number): Promise<string> => saveCheckpoint(folder, state(step), progress(step), "abc");

async function latest(): Promise<{ step: number | undefined; warnings: string[] }> {
  const warnings: string[] = [];
  const found = await latestCheckpoint(folder, (message) => {
    warnings.push(message.replaceAll(folder, "RUN").replaceAll("\\", "/"));
  });
  return { step: found?.progress.step, warnings };
}

test("everything comes back, bit for bit, and nothing temporary stays", async () => {
  const path = await save(4);
  const found = await latestCheckpoint(folder, expect.fail);
  expect(found).toEqual({ path, fingerprint: "abc", progress: progress(4), state: state(4) });
  expect(Object.is(found!.state.parameters[2], -0)).toBe(true);
  expect(await readdir(folder)).toEqual(["step-00000004"]);
});

test("the newest counts; saving a step again replaces it", async () => {
  for (const step of [9, 10, 100]) await save(step);
  expect((await latest()).step).toBe(100);
  await saveCheckpoint(folder, state(7), progress(100), "def");
  const found = await latestCheckpoint(folder, expect.fail);
  expect([found!.fingerprint, found!.state.parameters[0]]).toEqual(["def", 7]);
});

test("no folder, an empty one, or strangers in it: no checkpoint and no warning", async () => {
  expect(await latestCheckpoint(join(folder, "missing"), expect.fail)).toBeUndefined();
  await mkdir(join(folder, "step-12.tmp"));
  await writeFile(join(folder, "notes.txt"), "");
  expect(await latest()).toEqual({ step: undefined, warnings: [] });
});

describe("a damaged checkpoint is passed over with a warning", () => {
  const damage: Readonly<Record<string, (path: string) => Promise<void>>> = {
    "no manifest": (path) => rm(join(path, "checkpoint.json")),
    "a torn manifest": (path) => truncate(join(path, "checkpoint.json"), 40),
    "a manifest of another version": async (path) => {
      const file = join(path, "checkpoint.json");
      await writeFile(
        file,
        (await readFile(file, "utf8")).replace('"schemaVersion": 1', '"schemaVersion": 2'),
      );
    },
    "no state": (path) => rm(join(path, "state.safetensors")),
    "a truncated state": (path) => truncate(join(path, "state.safetensors"), 100),
    "one flipped bit": async (path) => {
      const file = join(path, "state.safetensors");
      const bytes = await readFile(file);
      bytes[bytes.length - 5]! ^= 1;
      await writeFile(file, bytes);
    },
  };
  test.each(Object.keys(damage))("%s", async (kind) => {
    await save(1);
    await damage[kind]!(await save(2));
    const { step, warnings } = await latest();
    expect(step).toBe(1);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^the checkpoint RUN\/step-00000002 is damaged and was passed over: /);
  });
  test("all of them: none is left", async () => {
    for (const step of [1, 2]) await truncate(join(await save(step), "state.safetensors"), 3);
    expect(await latest()).toMatchObject({
      step: undefined,
      warnings: [expect.anything(), expect.anything()],
    });
  });
});

test("pruning keeps the newest and clears what an interrupted write left", async () => {
  for (const step of [1, 2, 3, 12]) await save(step);
  const own = `step-00000013.${process.pid}.tmp`;
  await mkdir(join(folder, "step-00000009.1.tmp"));
  await mkdir(join(folder, own));
  await pruneCheckpoints(folder, 2);
  expect((await readdir(folder)).sort()).toEqual(["step-00000003", "step-00000012", own]);
});
