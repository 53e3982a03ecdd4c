/** Which checkpoints stay, and what a killed process may leave behind. */
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { recoverFolder, writeFolderAtomic } from "../util/index.ts";
import { type Progress, latestCheckpoint, pruneCheckpoints, saveCheckpoint } from "./checkpoint.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-checkpoint-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const progress = (step: number, events = step): Progress => ({ step, draws: step, events, evaluatedAt: -1 });
const state = (value: number) => ({
  parameters: Float32Array.of(value, 1),
  firstMoment: Float32Array.of(value, 2),
  secondMoment: Float32Array.of(value, 3),
});
const save = (step: number, events = step) =>
  saveCheckpoint(folder, state(step), progress(step, events), "f");
const latest = () => latestCheckpoint(folder, (message) => expect.fail(message));

test("what is saved comes back", async () => {
  const path = await save(3);
  expect(await latest()).toEqual({ path, fingerprint: "f", progress: progress(3), state: state(3) });
});

test("the last ones and the best stay; what was left over goes", async () => {
  for (const step of [1, 2, 3, 4, 5]) await save(step);
  await mkdir(join(folder, "step-00000009.1.tmp"));
  await writeFile(join(folder, "step-00000009.1.tmp", "state.safetensors"), "half");
  await pruneCheckpoints(folder, 2, 2);
  expect((await readdir(folder)).sort()).toEqual(["step-00000002", "step-00000004", "step-00000005"]);
});

test("a checkpoint that was being replaced when the process died is found, before and after the change", async () => {
  await save(1);
  await save(2, 7);
  await rename(join(folder, "step-00000002"), join(folder, "step-00000002.replaced"));
  expect((await latest())!.progress.events).toBe(7);
  await save(2, 8);
  expect((await latest())!.progress.events).toBe(8);
  await pruneCheckpoints(folder, 2);
  expect((await readdir(folder)).sort()).toEqual(["step-00000001", "step-00000002"]);
});

test("a damaged checkpoint is passed over with a warning that says which and why", async () => {
  await save(1);
  const path = await save(2);
  await writeFile(join(path, "checkpoint.json"), "{");
  const warnings: string[] = [];
  const found = await latestCheckpoint(folder, (message) => warnings.push(message));
  expect(found!.progress.step).toBe(1);
  expect(warnings).toEqual([expect.stringContaining(`${path} is damaged and was passed over`)]);
});

test("an adapter whose replacement was cut off comes back", async () => {
  const adapter = join(folder, "adapter");
  await writeFolderAtomic(adapter, (inside) => writeFile(join(inside, "a"), "old"));
  await rename(adapter, join(folder, ".adapter.0123456789ab.old"));
  await mkdir(join(folder, ".adapter.0123456789ab.tmp"));
  await recoverFolder(adapter);
  expect(await readdir(folder)).toEqual(["adapter"]);
  // One that is there wins over what it replaced.
  await mkdir(join(folder, ".adapter.ba9876543210.old"));
  await recoverFolder(adapter);
  expect(await readdir(folder)).toEqual(["adapter"]);
  expect(await readdir(adapter)).toEqual(["a"]);
});
