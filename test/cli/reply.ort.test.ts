/** chat and generate as they are typed: pipes, JSON, kill -9 and going on, adapters of runs, streams that close. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPredictions } from "../../src/judge/rate/index.ts";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";
import { attune, program, resultOf } from "./attune.ts";

let folder: string;
const ids = Array.from({ length: 12 }, (_, i) => `q${i}`);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-reply-"));
  await tinyProject(folder, 20);
  const rows = ids.map((id, i) => ({
    id,
    dialogue_id: `d${i}`,
    context: i % 2 === 0 ? `Where is order ${i}?` : [{ role: "user", content: `订单${i}在哪里？` }],
    ...(i % 3 === 0 ? { response: "On its way." } : {}),
    intent: "order_status",
  }));
  await writeFile(join(folder, "in.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const words = ["train", "--model", "model", "--data", "train.jsonl", "--out", "run", "--json"];
  const trained = await attune(
    [...words, "--set", "training.steps=8", "--set", "optimizer.learningRate=0.02"],
    {
      cwd: folder,
    },
  );
  expect(trained.stderr).toBe("");
  expect(resultOf(trained)).toMatchObject({ type: "result", run: "run" });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const short = ["--max-new-tokens", "12"];

describe("attune chat", () => {
  it("answers one line of a pipe a turn and remembers, until /reset", async () => {
    const lines = ["Hello", "Hello", "/reset", "Hello", "/exit", "never read"].join("\n");
    const ended = await attune(["chat", "model", ...short, "--json"], { cwd: folder, input: lines });
    expect(ended.code).toBe(0);
    const replies = ended.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; reply: string; promptTokens: number });
    expect(replies.map(({ type }) => type)).toEqual(["reply", "reply", "reply", "result"]);
    // The second turn holds the first; the third does not, and is the first again.
    expect(replies[1]!.promptTokens).toBeGreaterThan(replies[0]!.promptTokens);
    expect(replies[2]).toMatchObject({ reply: replies[0]!.reply, promptTokens: replies[0]!.promptTokens });
    expect(resultOf(ended)).toMatchObject({ turns: 3 });
  });

  it("prints nothing but replies into a pipe, with the run's adapter in place", async () => {
    const [base, tuned] = await Promise.all(
      ["model", "run"].map((name) => attune(["chat", name, ...short], { cwd: folder, input: "Hello\n" })),
    );
    expect(base!.stderr).toBe("");
    expect(tuned!.code).toBe(0);
    expect(base!.stdout.trim()).not.toBe("");
    expect(tuned!.stdout).not.toBe(base!.stdout);
  });

  it("drops the oldest turns when the context window is full", async () => {
    const long = "order ".repeat(400);
    const input = [long, long, long].join("\n");
    const ended = await attune(["chat", "model", ...short, "--json"], { cwd: folder, input });
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain("no longer fit and were left out");
  });

  it("refuses an adapter whose base has other weights", async () => {
    const other = await mkdtemp(join(tmpdir(), "attune-other-"));
    try {
      await tinyProject(other, 5);
      const path = join(other, "model", "model.safetensors");
      const bytes = await readFile(path);
      bytes.writeFloatLE(1.5, bytes.length - 4);
      await writeFile(path, bytes);
      const ended = await attune(["chat", "run", "--base", join(other, "model")], { cwd: folder });
      expect(ended.code).toBe(1);
      expect(ended.stderr).toContain("are not those that the adapter was trained on");
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });
});

describe("attune generate", () => {
  const words = (output: string, ...more: readonly string[]): string[] => [
    "generate",
    "run",
    "--input",
    "in.jsonl",
    "--output",
    output,
    "--batch",
    "3",
    ...short,
    ...more,
  ];

  it("writes predictions that raters and metrics read, in any batch the same", async () => {
    const first = await attune(words("a/out.jsonl", "--json"), { cwd: folder });
    expect(first.stderr).toBe("");
    expect(resultOf(first)).toMatchObject({ type: "result", replies: 12, repliesGenerated: 12 });
    const predictions = await readPredictions(join(folder, "a/out.jsonl"));
    expect(predictions.map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(predictions.find(({ id }) => id === "q3")).toMatchObject({
      dialogue_id: "d3",
      context: [{ role: "user", content: "订单3在哪里？" }],
      reference: "On its way.",
      intent: "order_status",
      system: "run",
    });
    const alone = await attune(words("b.jsonl", "--json", "--batch", "1"), { cwd: folder });
    expect(alone.code).toBe(0);
    const texts = (all: typeof predictions): (readonly [string, string])[] =>
      all.map(({ id, prediction }) => [id, prediction] as const).sort();
    expect(texts(await readPredictions(join(folder, "b.jsonl")))).toEqual(texts(predictions));
  });

  it("goes on after kill -9, never twice, and drops a torn line", async () => {
    const path = join(folder, "killed.jsonl");
    const slow = words("killed.jsonl", "--batch", "1", "--max-new-tokens", "200");
    const child = spawn(process.execPath, [program, ...slow], { cwd: folder, stdio: "ignore" });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const lines = (): number => {
      try {
        return readFileSync(path, "utf8").split("\n").length - 1;
      } catch {
        return 0;
      }
    };
    while (lines() < 2 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGKILL");
    await ended;
    await appendFile(path, '{"id":"q11","prediction":"to');
    const before = lines();
    const resumed = await attune([...slow, "--json"], { cwd: folder });
    expect(resumed.stderr).toBe("");
    expect(resultOf(resumed)).toMatchObject({ replies: 12, repliesGenerated: 12 - before });
    expect((await readPredictions(path)).map(({ id }) => id).sort()).toEqual([...ids].sort());
    const again = await attune([...slow, "--json"], { cwd: folder });
    expect(resultOf(again)).toMatchObject({ replies: 12, repliesGenerated: 0 });
  }, 120_000);

  it("refuses to mix replies of other options, and files that are something else", async () => {
    await attune(words("mixed.jsonl", "--limit", "2"), { cwd: folder });
    const before = await readFile(join(folder, "mixed.jsonl"), "utf8");
    const mixed = await attune(words("mixed.jsonl", "--sample"), { cwd: folder });
    expect(mixed.code).toBe(1);
    expect(mixed.stderr).toMatchInlineSnapshot(`
      "error: mixed.jsonl holds replies of another model or other options (mixed.jsonl:1). Run with the same model and options to go on, or choose another --output.
      "
    `);
    expect(await readFile(join(folder, "mixed.jsonl"), "utf8")).toBe(before);
    const input = await readFile(join(folder, "in.jsonl"), "utf8");
    const other = await attune(words("in.jsonl"), { cwd: folder });
    expect(other.code).toBe(1);
    expect(other.stderr).toMatchInlineSnapshot(`
      "error: in.jsonl is not a file of generated replies (in.jsonl:1). Choose another --output; this file is left as it is.
      "
    `);
    expect(await readFile(join(folder, "in.jsonl"), "utf8")).toBe(input);
  });

  it("names the row that cannot be answered", async () => {
    const cases = {
      "twice.jsonl": '{"id":1,"context":"a"}\n{"id":1,"context":"b"}\n',
      "broken.jsonl": '{"id":1,"context":"a"}\n{"id":2,"context":\n',
      "long.jsonl": `{"id":1,"context":"${"a b ".repeat(2000)}"}\n`,
      "empty.jsonl": "",
    };
    const errors: string[] = [];
    for (const [name, content] of Object.entries(cases)) {
      await writeFile(join(folder, name), content);
      const flags = ["--input", name, "--output", "none.jsonl"];
      const { code, stderr } = await attune(["generate", "model", ...flags], { cwd: folder });
      expect(code).toBe(1);
      errors.push(stderr.trim());
    }
    expect(errors).toMatchInlineSnapshot(`
      [
        "error: the id "1" stands already at twice.jsonl:1 (twice.jsonl:2). Give each row an \`id\` of its own.",
        "error: not valid JSON: {"id":2,"context": (broken.jsonl:2). Mend or remove this line.",
        "error: the last message alone needs 4,009 tokens of prompt; the model has room for 768 (long.jsonl:1). Shorten it, or allow fewer new tokens with --max-new-tokens.",
        "error: empty.jsonl is empty. Check the file.",
      ]
    `);
  });
});

describe("a closed pipe", () => {
  it("ends a command quietly", async () => {
    const child = spawn(process.execPath, [program, "train", "--help"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    let complaints = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(complaints).toBe("");
    expect(code).toBe(0);
  });
});
