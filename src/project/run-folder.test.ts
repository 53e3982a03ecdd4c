/** A run's folder: what may be written over, and the configuration's history. */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRun, isRunFolder, updateRunConfig } from "./run-folder.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-run-folder-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const description = {
  config: { lora: { rank: 16 }, seed: 1 },
  origins: new Map([
    ["lora.rank", "train.yaml:2:3"],
    ["seed", "default"],
  ]),
  data: {},
  model: {},
};

test("what a kill while a run was made has left is written over", async () => {
  const run = join(folder, "run");
  await createRun(run, description);
  await rm(join(run, "run.json"));
  await writeFile(join(run, ".run.json.0123456789ab.tmp"), "{");
  await createRun(run, description);
  expect(await isRunFolder(run)).toBe(true);
  expect((await readdir(run)).sort()).toEqual(["config.yaml", "events.jsonl", "run.json"]);
});

test("what a run holds from its beginning is there before the run is; half of it is written over", async () => {
  const run = join(folder, "run");
  const beside = async (path: string): Promise<void> => {
    expect(await isRunFolder(run)).toBe(false);
    await mkdir(join(path, "start"));
    await writeFile(join(path, "start", "corpus.bin"), "x");
  };
  await createRun(run, { ...description, beside });
  expect(await readdir(join(run, "start"))).toEqual(["corpus.bin"]);
  await rm(join(run, "run.json"));
  await createRun(run, { ...description, beside });
  expect(await isRunFolder(run)).toBe(true);
  const failed = join(folder, "failed");
  const failing = async (path: string): Promise<void> => {
    await mkdir(join(path, "start"));
    throw new Error("no room");
  };
  await expect(createRun(failed, { ...description, beside: failing })).rejects.toThrow("no room");
  expect(await readdir(folder)).toEqual(["run"]);
  const own = join(folder, "own");
  await mkdir(join(own, "start"), { recursive: true });
  await expect(createRun(own, description)).rejects.toThrow("already exists and is not empty");
});

test("a run, and files that are not ours, stay", async () => {
  const run = join(folder, "run");
  await createRun(run, description);
  await expect(createRun(run, description)).rejects.toThrow("Go on with that run by --resume");
  for (const [name, content] of [
    ["config.yaml", "model: mine\n"],
    ["events.jsonl", ""],
    ["notes.txt", ""],
  ] as const) {
    const other = join(folder, `other ${name}`);
    await mkdir(other);
    await writeFile(join(other, name), content);
    await expect(createRun(other, description), name).rejects.toThrow("already exists and is not empty");
    expect(await readFile(join(other, name), "utf8")).toBe(content);
  }
});

test("changed settings are noted beside where the others came from", async () => {
  const run = join(folder, "run");
  await createRun(run, description);
  await updateRunConfig(run, { lora: { rank: 16 }, seed: 2 }, new Map([["seed", "--set; 1 until step 5"]]));
  expect(await readFile(join(run, "config.yaml"), "utf8")).toMatchInlineSnapshot(`
    "# The resolved configuration of this run. Where each value came from:
    #   lora.rank: train.yaml:2:3
    #   seed: --set; 1 until step 5
    lora:
      rank: 16
    seed: 2
    "
  `);
});
