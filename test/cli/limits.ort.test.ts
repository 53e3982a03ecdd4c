/** What a machine runs out of, through the real program: memory, disk, a free run folder. Nothing is left behind. */
import { execFileSync, spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";
import { attune } from "./attune.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-bad-"));
  await tinyProject(folder, 40);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Runs a training that must fail; returns its error with the folder's name taken out. */
async function refusal(...words: string[]): Promise<string> {
  const { code, stderr } = await attune(["train", "--out", "run", ...words], { cwd: folder });
  expect(code).toBe(1);
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(stderr).not.toMatch(/\n\s+at /);
  return stderr.trim().replaceAll(folder, "FOLDER");
}

/** As `refusal`, and no run folder is there afterwards. */
async function cleanRefusal(...words: string[]): Promise<string> {
  const error = await refusal(...words);
  expect(await exists(join(folder, "run"))).toBe(false);
  return error;
}

describe("memory", () => {
  it("is not allowed to be enough: a dry run refuses what the run does", async () => {
    const words = ["--model", "./model", "--data", "train.jsonl", "--memory", "100MB"];
    const sizes = /[\d.,]+ (?:MiB|GiB)/g;
    const run = (await cleanRefusal(...words)).replaceAll(sizes, "N");
    expect(run).toMatch(/^error: training needs about N of memory; runtime\.memory allows N/);
    expect((await cleanRefusal(...words, "--dry-run")).replaceAll(sizes, "N")).toBe(run);
  });

  it("does not hold the weights", async (ctx) => {
    // A sparse file of a terabyte: all is there but for the bytes.
    const model = join(folder, "giant");
    await cp(join(folder, "model"), model, { recursive: true });
    const config = JSON.parse(await readFile(join(model, "config.json"), "utf8")) as Record<string, unknown>;
    const wide = { hidden_size: 8192, num_attention_heads: 64, num_key_value_heads: 8, head_dim: 128 };
    const sizes = { ...config, ...wide, intermediate_size: 1_000_000, num_hidden_layers: 40 };
    await writeFile(join(model, "config.json"), JSON.stringify(sizes));
    const path = join(model, "model.safetensors");
    if (!(await writeSparseCheckpoint(path, sizes))) ctx.skip("the disk keeps no sparse file of this size");
    const error = await cleanRefusal("--model", "./giant", "--data", "train.jsonl");
    expect(error.replaceAll(/[\d.,]+ (?:MiB|GiB|TiB)/g, "N GiB")).toMatchInlineSnapshot(
      `"error: training needs about N GiB of memory; N GiB are free (the weights alone take N GiB, the program itself N GiB). Take a smaller model or a machine with more memory, or close other programs."`,
    );
  });
});

/** A safetensors whose header is whole and whose data are holes. */
async function writeSparseCheckpoint(path: string, config: object): Promise<boolean> {
  const { expectedWeights, specFromConfig } = await import("../../src/model/decoder/index.ts");
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const { name, shape } of expectedWeights(specFromConfig(config as Record<string, unknown>))) {
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: "F16", shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = await open(path, "w");
  try {
    await file.write(Buffer.concat([length, text]));
    await file.truncate(8 + text.length + offset);
    return true;
  } catch {
    return false;
  } finally {
    await file.close();
  }
}

describe("run folders and disks", () => {
  const training = ["--model", "model", "--data", "train.jsonl", "--set", "training.steps=1"];

  it("a run in use by another process, and by one that is dead", async () => {
    const run = join(folder, "used");
    const words = ["train", ...training, "--out", "used"];
    expect((await attune(words, { cwd: folder })).code).toBe(0);
    const sleeper = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"]);
    const lock = JSON.stringify({ pid: sleeper.pid, host: hostname() });
    await writeFile(join(run, "run.lock"), lock);
    try {
      const { code, stderr } = await attune([...words, "--resume"], { cwd: folder });
      expect(code).toBe(1);
      expect(stderr.replace(/process \d+ on \S+\./, "process N on HOST.")).toMatchInlineSnapshot(`
        "error: the run folder used is in use by process N on HOST. Wait for it, choose another --out, or, if no such process runs, remove used/run.lock.
        "
      `);
    } finally {
      const gone = new Promise((resolve) => sleeper.once("exit", resolve));
      sleeper.kill("SIGKILL");
      await gone;
    }
    expect((await attune([...words, "--resume"], { cwd: folder })).code).toBe(0);
    expect(await exists(join(run, "run.lock"))).toBe(false);
  });

  // Room for nothing; then for the run's description, but not for its adapter.
  it.for([8, 24])("a full disk of %d kB", async (size, ctx) => {
    const disk = join(folder, `disk-${size}`);
    await mkdir(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}k`, "tmpfs", disk], { stdio: "ignore" });
    } catch {
      ctx.skip("needs the right to mount a small disk");
    }
    try {
      const words = ["train", ...training, "--out", join(disk, "run")];
      const { code, stderr } = await attune(words, { cwd: folder });
      expect(code).toBe(1);
      expect(stderr.replace(/write \S+\./, "write FILE.")).toBe(
        "error: the disk is full: cannot write FILE. Free some space or choose another folder, then run the same command again.\n",
      );
      const left = await readdir(disk, { recursive: true });
      expect(left.filter((name) => /tmp|adapter|checkpoints|lock/.test(name))).toEqual([]);
      if (size === 8) expect(left).toEqual([]);
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});
