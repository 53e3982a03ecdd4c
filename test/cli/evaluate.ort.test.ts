/** `attune evaluate` as it is typed: systems side by side, slices, kill -9 and going on, bad input, a full disk. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPredictions } from "../../src/judge/rate/index.ts";
import type { Evaluation, PredictionRecord } from "../../src/judge/index.ts";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";
import { random } from "../../src/util/index.ts";
import { type Ended, attune, program, resultOf } from "./attune.ts";

let folder: string;
const slow = { timeout: 240_000 };
// As few tokens and resamples as still mean something; speed is measured where a test says so.
const quick = ["--max-new-tokens", "8", "--samples", "20", "--speed-seconds", "0", "--json"];
const intents = ["track", "<script>alert(1)</script>", 'refund & "co"'];

const run = (...words: readonly string[]): Promise<Ended> =>
  attune(["evaluate", ...words, ...quick], { cwd: folder });
const linesOf = async <T>(path: string): Promise<T[]> =>
  (await readFile(join(folder, path), "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

interface Row {
  readonly dialogue_id: string;
  readonly context: readonly { readonly role: string; readonly content: string }[];
  readonly response: string;
  readonly intent: string;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-evaluate-"));
  await tinyProject(folder, 30);
  const english = (await linesOf<Row>("train.jsonl")).filter(({ context }) =>
    context.every(({ content }) => !/\p{Script=Han}/u.test(content)),
  );
  await writeFile(join(folder, "train.jsonl"), english.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const [taught] = english;
  // Three dialogues of seven turns, whose last reply stands word for word in training; one question with two answers.
  const rows: Row[] = intents.flatMap((intent, d) => {
    const context: Row["context"][number][] = [];
    return Array.from({ length: 7 }, (_, turn) => {
      context.push({ role: "user", content: `Question ${turn} about parcel ${d}?` });
      const response = turn === 6 ? taught!.response : `Answer ${turn} about parcel ${d}, thank you.`;
      const row = { dialogue_id: `t${d}`, context: [...context], response, intent };
      context.push({ role: "assistant", content: response });
      return row;
    });
  });
  rows.push({ ...rows[0]!, response: "Another answer to the same question." });
  await writeFile(join(folder, "test.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  for (const [out, steps] of [
    ["run", 6],
    ["other/run", 2],
  ] as const) {
    const words = ["train", "--model", "model", "--data", "train.jsonl", "--out", out, "--json"];
    const settings = [`training.steps=${steps}`, "optimizer.learningRate=0.02"];
    const trained = await attune([...words, ...settings.flatMap((setting) => ["--set", setting])], {
      cwd: folder,
    });
    expect(trained.stderr).toBe("");
  }
}, 240_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a run against its base, baselines and other runs", () => {
  const all = "base,adapter,run,other/run,retrieval,frequent";
  let evaluation: Evaluation;

  it("says in one result how good and how fast each system is", slow, async () => {
    const words = ["evaluate", "run", "--on", "test.jsonl", "--systems", all, "--batch", "4", "--json"];
    const short = ["--max-new-tokens", "8", "--samples", "20", "--speed-seconds", "1"];
    const ended = await attune([...words, ...short], { cwd: folder });
    expect(ended.stderr).toBe("");
    const result = resultOf(ended) as { systems: Record<string, unknown>[]; [name: string]: unknown };
    expect(result).toMatchObject({ type: "result", judged: 21, seenShare: 3 / 21 });
    expect(result["machine"]).toMatchObject({ precision: "float32", cpu: expect.any(String) as string });
    expect((result["machine"] as { threads: number }).threads).toBeGreaterThan(0);
    const names = ["base", "adapter", "run", "other/run", "retrieval", "frequent"];
    expect(result.systems.map(({ name }) => name)).toEqual(names);
    const quality = ["bleu4", "rougeL"];
    const models = ["perplexity", "ttftMsP50", "ttftMsP95", "decodeTokensPerSecond"];
    for (const system of result.systems) {
      const isModel = !["retrieval", "frequent"].includes(String(system["name"]));
      for (const key of [...quality, "repliesPerSecond"]) expect(system[key]).toBeTypeOf("number");
      for (const key of models) expect(system[key] === null).toBe(!isModel);
      if (isModel) {
        expect(system["perplexity"]).toBeGreaterThan(1);
        expect(system["ttftMsP95"]).toBeGreaterThanOrEqual(system["ttftMsP50"] as number);
        expect(system["general"]).toEqual({
          english: expect.any(Number) as number,
          chinese: expect.any(Number) as number,
        });
      }
    }
    // The run by its name is the run's adapter; training changed the base's perplexity.
    const [base, adapter, same] = result.systems.map(({ perplexity }) => perplexity as number);
    expect(adapter).toBe(same);
    expect(adapter).not.toBe(base);
  });

  it("by intent, depth, length, seen and unseen replies, against the first, perplexity weighted by tokens", async () => {
    const text = await readFile(join(folder, "run/evaluation/evaluation.json"), "utf8");
    evaluation = JSON.parse(text) as Evaluation;
    const [base, adapter] = evaluation.systems;
    const counts = (by: string): Record<string, number> =>
      Object.fromEntries(base!.slices.filter((s) => s.by === by).map((s) => [s.name, s.count]));
    expect(counts("depth")).toEqual({ "1–2": 6, "3–5": 9, "6+": 6 });
    expect(counts("seen")).toEqual({ unseen: 18, seen: 3 });
    expect(counts("intent")).toEqual(Object.fromEntries(intents.map((intent) => [intent, 7])));
    expect(Object.values(counts("length")).reduce((a, b) => a + b, 0)).toBe(21);
    expect(base!.comparison).toBeUndefined();
    expect(adapter!.comparison).toMatchObject({ against: "base" });
    expect(adapter!.comparison!.bleu4.pValue).toBeGreaterThan(0);
    const losses = (
      await linesOf<{ system: string; nats: number; tokens: number }>("run/evaluation/losses.jsonl")
    ).filter(({ system }) => system === "base");
    const [nats, tokens] = [
      losses.reduce((sum, loss) => sum + loss.nats, 0),
      losses.reduce((sum, loss) => sum + loss.tokens, 0),
    ];
    expect(losses).toHaveLength(21);
    expect(base!.perplexity!.score).toBeCloseTo(Math.exp(nats / tokens), 6);
    expect(base!.speed!.ttftByPrompt.reduce((sum, { prompts }) => sum + prompts, 0)).toBe(
      base!.speed!.measuredPrompts,
    );
    expect(evaluation.peakBytes).toBeGreaterThan(1e7);
  });

  it("baselines reply from training, and raters can read all predictions", async () => {
    const predictions = await linesOf<PredictionRecord>("run/evaluation/predictions.jsonl");
    expect(predictions).toHaveLength(6 * 21);
    const taught = new Set((await linesOf<Row>("train.jsonl")).map(({ response }) => response));
    for (const { prediction } of predictions.filter(({ stopped_by }) => stopped_by === "lookup"))
      expect(taught).toContain(prediction);
    expect(
      new Set(predictions.filter(({ system }) => system === "frequent").map((p) => p.prediction)).size,
    ).toBe(1);
    expect(await readPredictions(join(folder, "run/evaluation/predictions.jsonl"))).toHaveLength(6 * 21);
    const two = predictions.find(({ id, system }) => id === "t0#1" && system === "base")!;
    expect(two.references).toEqual([
      "Answer 0 about parcel 0, thank you.",
      "Another answer to the same question.",
    ]);
  });

  it("stores no logits, and draws what was asked as text", async () => {
    const files = await readdir(join(folder, "run/evaluation"), { recursive: true });
    expect(files.sort()).toEqual(
      [
        "evaluation.json",
        "losses.jsonl",
        "measures.json",
        "pictures",
        ...["bleu4", "by-depth", "by-intent", "by-length", "by-seen", "perplexity", "rouge-l"].map(
          (name) => `pictures/${name}.svg`,
        ),
        "predictions.jsonl",
      ].sort(),
    );
    let bytes = 0;
    for (const file of files) bytes += (await stat(join(folder, "run/evaluation", file))).size;
    // One vocabulary row of float32 has 16 kB; 126 replies of up to 8 tokens would be 16 MB.
    expect(bytes).toBeLessThan(1_000_000);
    const svg = await readFile(join(folder, "run/evaluation/pictures/by-intent.svg"), "utf8");
    expect(svg).toContain("&lt;script&gt;ale");
    expect(svg).not.toMatch(/<script|onload|javascript:/);
  });

  it("said again computes nothing and says the same; a subset loses nothing of the rest", slow, async () => {
    const words = ["run", "--on", "test.jsonl", "--batch", "4", "--systems"];
    const before = await readFile(join(folder, "run/evaluation/predictions.jsonl"), "utf8");
    const again = await run(...words, all);
    expect(again.stderr).toBe("");
    expect(again.stdout).not.toMatch(/"phase":"(?:replies|losses|weights)"/);
    const rounded = (ended: Ended): unknown => (resultOf(ended)["systems"] as object[]).length;
    expect(rounded(again)).toBe(6);
    expect(await readFile(join(folder, "run/evaluation/predictions.jsonl"), "utf8")).toBe(before);
    const part = await run(...words, "retrieval,frequent");
    expect(part.stderr).toContain(
      "84 earlier replies belong to other data, systems, settings or weights: set aside",
    );
    const whole = await run(...words, all);
    expect(whole.stdout).not.toMatch(/"phase":"(?:replies|losses|weights)"/);
    const sorted = (text: string): string[] => text.trimEnd().split("\n").sort();
    expect(sorted(await readFile(join(folder, "run/evaluation/predictions.jsonl"), "utf8"))).toEqual(
      sorted(before),
    );
  });
});

it("goes on after kill -9 at any moment: no reply twice, none lost, the same in the end", slow, async () => {
  const words = ["evaluate", "run", "--on", "test.jsonl", "--out", "killed", "--batch", "3", ...quick];
  const path = join(folder, "killed/predictions.jsonl");
  const count = (): number => {
    try {
      return readFileSync(path, "utf8").split("\n").length - 1;
    } catch {
      return 0;
    }
  };
  const dice = random(7, "kills");
  let kills = 0;
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [program, ...words], { cwd: folder, stdio: "ignore" });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    // Once something new is on disk, a random moment later.
    const before = count();
    while (count() <= before && child.exitCode === null) await new Promise((go) => setTimeout(go, 3));
    await new Promise((go) => setTimeout(go, dice.next() * 120));
    if (child.exitCode === null) kills += 1;
    child.kill("SIGKILL");
    await ended;
    const found = readFileSync(path, "utf8").split("\n").slice(0, -1);
    expect(found.length).toBeGreaterThanOrEqual(before);
  }
  expect(kills).toBeGreaterThan(0);
  const finished = await attune(words, { cwd: folder });
  expect(finished.stderr).toBe("");
  const keyed = (records: readonly PredictionRecord[]): string[] =>
    records.map(({ id, system, prediction }) => JSON.stringify([system, id, prediction])).sort();
  const predictions = await linesOf<PredictionRecord>("killed/predictions.jsonl");
  expect(new Set(predictions.map(({ id, system }) => `${system} ${id}`)).size).toBe(predictions.length);
  const fresh = await attune(
    words.map((word) => (word === "killed" ? "fresh" : word)),
    { cwd: folder },
  );
  expect(fresh.code).toBe(0);
  expect(keyed(predictions)).toEqual(keyed(await linesOf<PredictionRecord>("fresh/predictions.jsonl")));
});

describe("attune evaluate refuses, with one line and no folder left", () => {
  async function refused(...words: readonly string[]): Promise<string> {
    const { code, stderr } = await run(...words, "--out", "refused");
    expect(code).toBe(1);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(await readdir(folder)).not.toContain("refused");
    return stderr.trim().replaceAll(folder, "FOLDER");
  }
  const file = async (name: string, content: string | Uint8Array): Promise<string> => {
    await writeFile(join(folder, name), content);
    return name;
  };

  it("data without replies, nothing in them, not UTF-8, not there", slow, async () => {
    const question = { dialogue_id: "a", messages: [{ role: "user", content: "hi" }] };
    const latin = Buffer.from('{"dialogue_id":"d","context":"hi","response":"caf\u00e9"}\n', "latin1");
    const errors = [
      await refused("run", "--on", await file("questions.jsonl", `${JSON.stringify(question)}\n`)),
      await refused("run", "--on", await file("empty.jsonl", "")),
      await refused("run", "--on", await file("latin.jsonl", latin)),
      await refused("run", "--on", "nowhere.jsonl"),
    ];
    expect(errors).toMatchInlineSnapshot(`
      [
        "error: none of the 1 messages is a reply of the assistant to learn from (questions.jsonl:1). Mend or remove this row (rule no-reply).",
        "error: empty.jsonl is empty. Check the file.",
        "error: character 50 of the row is not valid in the file's encoding (latin.jsonl:1). Mend or remove this row (rule invalid-bytes).",
        "error: the data nowhere.jsonl does not exist. Check the path.",
      ]
    `);
  });

  it("systems that are not there", slow, async () => {
    await cp(join(folder, "run"), join(folder, "bare"), { recursive: true });
    await rm(join(folder, "bare/adapter"), { recursive: true });
    const on = ["--on", "test.jsonl", "--systems"];
    const errors = [
      await refused("bare", "--on", "test.jsonl"),
      await refused("run", ...on, "bsae"),
      await refused("run", ...on, "base,base"),
      await refused("model", ...on, "base,adapter"),
      await refused("model", ...on, "retrieval"),
      await refused("rnu"),
    ];
    expect(errors).toMatchInlineSnapshot(`
      [
        "error: the run bare has no adapter yet. Go on training with: attune train --resume bare",
        "error: bsae is neither a system nor the folder of a run (--systems). Did you mean base?",
        "error: two systems are called base. Name each once.",
        "error: model is no run: it has no adapter. Leave \`adapter\` out of --systems.",
        "error: the retrieval and most-frequent baselines need training data. Leave them out: --systems base,adapter.",
        "error: rnu is not the folder of a run, which would have held dialogues out. Check the path; to judge a model, name dialogues with --on DATA.",
      ]
    `);
  });

  it("a data set whose test part is empty", slow, async () => {
    const rows = await readFile(join(folder, "train.jsonl"), "utf8");
    await file("few.jsonl", `${rows.split("\n").slice(0, 14).join("\n")}\n`);
    await file("prepare.yaml", "shape:\n  split: { train: 0.8, validation: 0.2, test: 0 }\n");
    const words = ["data", "prepare", "few.jsonl", "--out", "few", "--config", "prepare.yaml", "--json"];
    expect((await attune(words, { cwd: folder })).code).toBe(0);
    expect(await refused("run", "--on", "few")).toMatchInlineSnapshot(
      `"error: the test split of few is empty. Choose another with --split."`,
    );
  });
});

it("a test set in another language is judged and said to say little", slow, async () => {
  const rows = Array.from({ length: 4 }, (_, i) => ({
    dialogue_id: `c${i}`,
    context: [{ role: "user", content: `订单${i}在哪里？` }],
    response: "您好，您的订单已经发货。",
  }));
  await writeFile(join(folder, "chinese.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const ended = await run("run", "--on", "chinese.jsonl", "--out", "chinese", "--systems", "frequent");
  expect(ended.code).toBe(0);
  expect(resultOf(ended)["warnings"]).toMatchInlineSnapshot(`
    [
      "the replies asked for are mostly Chinese, Japanese or Korean and the training replies are not: these figures say little",
      "only 4 replies were judged: the intervals are wide",
    ]
  `);
});

it("a disk that fills ends it with one error, and with space it goes on where it was", slow, async (ctx) => {
  const disk = join(folder, "disk");
  await mkdir(disk);
  const mount = (size: string): void => {
    execFileSync("mount", ["-t", "tmpfs", "-o", size, "tmpfs", disk], { stdio: "ignore" });
  };
  try {
    mount("size=36k");
  } catch {
    return ctx.skip("needs the right to mount a small disk");
  }
  try {
    const words = ["run", "--on", "test.jsonl", "--out", "disk/evaluation", "--systems", "retrieval,base"];
    const full = await run(...words);
    expect(full.code).toBe(1);
    expect(full.stderr.replace(/write \S+\. /, "write FILE. ")).toBe(
      "error: the disk is full: cannot write FILE. Free some space or choose another folder, then run the same command again.\n",
    );
    const left = await readdir(join(disk, "evaluation"));
    expect(left).not.toContain("evaluation.json");
    expect(left).not.toContain("evaluation.lock");
    execFileSync("mount", ["-o", "remount,size=4m", disk]);
    const before = readFileSync(join(disk, "evaluation/predictions.jsonl"), "utf8").split("\n").length - 1;
    expect(before).toBeGreaterThan(0);
    const ended = await run(...words);
    expect(ended.stderr).toBe("");
    const predictions = await linesOf<PredictionRecord>("disk/evaluation/predictions.jsonl");
    expect(new Set(predictions.map(({ id, system }) => `${system} ${id}`)).size).toBe(42);
    expect(predictions).toHaveLength(42);
  } finally {
    execFileSync("umount", [disk]);
  }
});
