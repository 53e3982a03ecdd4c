/** Bad input through the real command line: one clear error, an exit code, nothing half-written under a final name. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const repository = join(import.meta.dirname, "../..");
const model = join(repository, "assets/quickstart/model");
let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "attune-bad-input-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const good = JSON.stringify({
  dialogue_id: "d1",
  context: [{ role: "user", content: "Where is my parcel?" }],
  response: "It left our house this morning and will be with you tomorrow.",
});
const lines = (count: number): string =>
  `${Array.from({ length: count }, (_, i) => good.replace("d1", `d${i}`)).join("\n")}\n`;

function file(name: string, content: string): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

/** Runs `attune train` and returns its exit code and error, paths of this run replaced. */
function train(...args: string[]): { code: number | null; error: string } {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(repository, "bin/attune.js"), "train", ...args],
    {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, HOME: root, HF_HUB_OFFLINE: "1", NO_COLOR: "1" },
      timeout: 60_000,
    },
  );
  return { code: status, error: stderr.replaceAll(root, "ROOT").replaceAll(repository, "REPOSITORY").trim() };
}

/** The error of a run on `data`, which must leave no run folder. */
function refused(data: string, ...args: string[]): string {
  const out = join(root, "run-refused");
  const { code, error } = train("--model", model, "--data", data, "--out", out, ...args);
  expect(code).toBe(1);
  expect(existsSync(out)).toBe(false);
  return error;
}

describe("attune train refuses", () => {
  it("a broken line", () => {
    expect(refused(file("broken.jsonl", `${good}\n{"context": "hi", "response": \n`))).toMatchSnapshot();
  });

  it("a wrong type", () => {
    expect(
      refused(file("type.jsonl", `${good}\n${JSON.stringify({ context: "hi", response: 7 })}\n`)),
    ).toMatchSnapshot();
  });

  it("a missing field", () => {
    expect(refused(file("field.jsonl", `${good}\n${JSON.stringify({ context: "hi" })}\n`))).toMatchSnapshot();
  });

  it("an empty file", () => {
    expect(refused(file("empty.jsonl", ""))).toMatchSnapshot();
  });

  it("a file that is not there", () => {
    expect(refused(join(root, "nowhere.jsonl"))).toMatchSnapshot();
  });

  it("replies without anything to learn", () => {
    const empty = good.replace("It left our house this morning and will be with you tomorrow.", " ");
    expect(
      refused(
        file("nothing.jsonl", `${empty}\n${empty.replace("d1", "d2")}\n`),
        "--set",
        "data.validationShare=0",
      ),
    ).toMatchSnapshot();
  });

  it("samples longer than the maximum", () => {
    expect(refused(file("long.jsonl", lines(4)), "--set", "training.maxLength=12")).toMatchSnapshot();
  });

  it("an unknown key, a value out of bounds, an unknown layer", () => {
    const data = file("good.jsonl", lines(20));
    expect(refused(data, "--set", "lora.rnk=8")).toMatchSnapshot();
    const config = file("config.yaml", `model: ${model}\ndata: good.jsonl\nlora:\n  rank: 300\n`);
    expect(train(config)).toMatchSnapshot();
    expect(refused(data, "--set", "lora.targets=[q_prj]")).toMatchSnapshot();
  });

  it("a model folder without weights", () => {
    const folder = join(root, "weightless");
    mkdirSync(folder);
    for (const name of ["config.json", "tokenizer.json"]) cpSync(join(model, name), join(folder, name));
    expect(
      train("--model", folder, "--data", file("w.jsonl", lines(20)), "--out", join(root, "w")),
    ).toMatchSnapshot();
  });

  it("a truncated safetensors", () => {
    const folder = join(root, "truncated");
    cpSync(model, folder, { recursive: true });
    truncateSync(join(folder, "model.safetensors"), 5_000_000);
    expect(
      train("--model", folder, "--data", file("t.jsonl", lines(20)), "--out", join(root, "t")),
    ).toMatchSnapshot();
  });

  it("a GGUF with a huge count", () => {
    const header = Buffer.alloc(24);
    header.write("GGUF");
    header.writeUInt32LE(3, 4);
    header.writeBigUInt64LE(1n << 60n, 8);
    header.writeBigUInt64LE(1n << 60n, 16);
    writeFileSync(join(root, "huge.gguf"), header);
    expect(
      train(
        "--model",
        join(root, "huge.gguf"),
        "--data",
        file("h.jsonl", lines(20)),
        "--out",
        join(root, "h"),
      ),
    ).toMatchSnapshot();
  });

  it("an output folder in use, and a resume of nothing", () => {
    const out = join(root, "occupied");
    mkdirSync(out);
    writeFileSync(join(out, "mine.txt"), "keep me");
    const data = file("o.jsonl", lines(20));
    const { code, error } = train("--model", model, "--data", data, "--out", out);
    expect({ code, error }).toMatchSnapshot();
    expect(readdirSync(out)).toEqual(["mine.txt"]);
    expect(readFileSync(join(out, "mine.txt"), "utf8")).toBe("keep me");
    expect(train("--resume", join(root, "no-run"))).toMatchSnapshot();
  });

  it("misuse, with exit code 2", () => {
    expect(train("--modle", "x").code).toBe(2);
  });
});

describe("a full disk", () => {
  it("ends the run with one error and no adapter", (context) => {
    const mount = join(root, "small");
    mkdirSync(mount);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=300k", "tmpfs", mount]);
    if (mounted.status !== 0) return context.skip("mounting a small file system needs root");
    try {
      const { code, error } = train(
        "--model",
        model,
        "--data",
        file("d.jsonl", lines(20)),
        "--out",
        join(mount, "run"),
        "--set",
        "training.steps=1",
      );
      expect(code).toBe(1);
      expect(error).toMatch(/the disk is full: cannot write .*\. Free some space/);
      expect(existsSync(join(mount, "run", "adapter"))).toBe(false);
    } finally {
      spawnSync("umount", [mount]);
    }
  });
});
