/** The folder appears whole or not at all, and nothing of the user's is ever replaced by a slip. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../util/index.ts";
import { stageFolder } from "./staging.ts";
import { LineWriter } from "./writer.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-folder-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const stage = (name: string, overwrite = false) =>
  stageFolder(join(root, name), { overwrite, marker: "dataset.json" });

describe("stageFolder", () => {
  it("shows nothing under the final name before commit, and nothing else after", async () => {
    const staged = await stage("out");
    await writeFile(join(staged.path, "dataset.json"), "{}");
    expect((await readdir(root)).filter((name) => !name.startsWith("."))).toEqual([]);
    await staged.commit();
    expect(await readdir(root)).toEqual(["out"]);
    expect(await readdir(join(root, "out"))).toEqual(["dataset.json"]);
  });

  it("leaves nothing when discarded", async () => {
    const staged = await stage("out");
    await writeFile(join(staged.path, "half.jsonl"), "x");
    await staged.discard();
    expect(await readdir(root)).toEqual([]);
  });

  it("refuses a data set without overwrite, and replaces it with", async () => {
    await mkdir(join(root, "out"));
    await writeFile(join(root, "out", "dataset.json"), "old");
    await writeFile(join(root, "out", "old.txt"), "old");
    await expect(stage("out")).rejects.toThrow(
      "already holds a data set. Choose another name for --out, or replace it with --force.",
    );
    const staged = await stage("out", true);
    await writeFile(join(staged.path, "dataset.json"), "new");
    expect(await readFile(join(root, "out", "dataset.json"), "utf8")).toBe("old");
    await staged.commit();
    expect(await readdir(join(root, "out"))).toEqual(["dataset.json"]);
    expect(await readdir(root)).toEqual(["out"]);
  });

  it("never replaces a folder that is not a data set, nor a file", async () => {
    await mkdir(join(root, "photos"));
    await writeFile(join(root, "photos", "cat.jpg"), "x");
    await expect(stage("photos", true)).rejects.toThrow("is not a data set, so it is never replaced");
    await writeFile(join(root, "note"), "x");
    await expect(stage("note", true)).rejects.toThrow("is a file; a data set is a folder");
    await expect(stage("note/out")).rejects.toThrow(UserError);
  });

  it("takes an empty folder, and looks again before it commits", async () => {
    await mkdir(join(root, "out"));
    const staged = await stage("out");
    await writeFile(join(root, "out", "mine.txt"), "x");
    await expect(staged.commit()).rejects.toThrow("never replaced");
    await staged.discard();
    expect(await readdir(join(root, "out"))).toEqual(["mine.txt"]);
  });
});

describe("LineWriter", () => {
  it("says what it wrote", async () => {
    const writer = await LineWriter.create(join(root, "a.jsonl"));
    await writer.write("你好");
    await writer.write("x");
    expect(await writer.finish()).toEqual({
      lines: 2,
      bytes: 9,
      sha256: "5fda8d7ae1765f53531cfbdf21e95a5aaa76d1e7b6ffaca0a3ace65ed486268f",
    });
  });

  it("turns a full disk into one clear error", async () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const writer = await LineWriter.create("train.jsonl", async () => ({
      write: () => Promise.reject(full),
      sync: async () => {},
      close: async () => {},
    }));
    await writer.write("x");
    await expect(writer.finish()).rejects.toThrow(
      "the disk is full: cannot write train.jsonl. Free some space",
    );
    await writer.abandon();
  });

  it("meets a disk that is really full", async (ctx) => {
    const mount = join(root, "tiny");
    await mkdir(mount);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], { stdio: "pipe" });
    } catch {
      ctx.skip("mounting a small file system needs root");
    }
    try {
      const writer = await LineWriter.create(join(mount, "train.jsonl"));
      await writer.write("x".repeat(200_000));
      await expect(writer.finish()).rejects.toThrow("the disk is full");
      await writer.abandon();
    } finally {
      execFileSync("umount", [mount]);
    }
  });
});
