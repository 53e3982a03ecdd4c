/** `attune metrics` and `attune rate` as they are typed: bad input, a disk that fills under the raters, and what it costs. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SeatState } from "../../src/judge/rate/study.ts";
import { readRatings } from "../../src/judge/rate/index.ts";
import { attune, program } from "./attune.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-judging-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const slow = { timeout: 120_000 };
const file = async (name: string, content: string | Uint8Array): Promise<string> => {
  await writeFile(join(folder, name), content);
  return name;
};
const latin = (text: string): Buffer => Buffer.from(text, "latin1");
const prediction = (id: string, text: string): string =>
  JSON.stringify({
    id,
    dialogue_id: id,
    context: [{ role: "user", content: "Where is it?" }],
    system: "tuned",
    prediction: text,
  });

/** The one line that a command says when it ends with exit code 1. */
async function refused(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await attune(words, { cwd: folder });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.trim().split("\n")).toHaveLength(1);
  return stderr.trim();
}

describe("attune metrics", () => {
  const score = (references: string, predictions: string, ...more: readonly string[]): string[] => [
    "metrics",
    "--references",
    references,
    "--predictions",
    predictions,
    "--samples",
    "20",
    ...more,
  ];

  it("refuses no references, an empty prediction file, unequal lines, what is not UTF-8", slow, async () => {
    const two = await file("two.txt", "One reply.\nAnother reply.\n");
    const empty = await file("empty.txt", "");
    const errors = [
      await refused(...score(empty, empty)),
      await refused(...score(two, empty)),
      await refused(...score(two, await file("one.txt", "One reply.\n"))),
      await refused(...score(two, await file("latin.txt", latin("One reply.\ncaf\u00e9\n")))),
      await refused(
        ...score(
          await file("none.jsonl", '{"references":[]}\n'),
          await file("a.jsonl", '{"prediction":"a"}'),
        ),
      ),
    ];
    expect(errors).toMatchInlineSnapshot(`
      [
        "error: empty.txt holds no lines. Name a file with one reference a line.",
        "error: two.txt has 2 lines but empty.txt has 0: line n of one must answer line n of the other. An empty reply is an empty line (or an empty string); do not leave it out.",
        "error: two.txt has 2 lines but one.txt has 1: line n of one must answer line n of the other. An empty reply is an empty line (or an empty string); do not leave it out.",
        "error: not valid UTF-8 (latin.txt:2). Save the file as UTF-8, or mend this line.",
        "error: \`references\` is []; it must be a text (none.jsonl:1). Write an empty reply as "".",
      ]
    `);
  });

  it("scores one reference, and predictions that are all empty as 0", slow, async () => {
    const words = score(await file("r.txt", "好的，马上办。\n"), await file("p.txt", "\n"), "--json");
    const { code, stdout, stderr } = await attune(words, { cwd: folder });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { systems } = JSON.parse(stdout) as { systems: { metrics: Record<string, { score: number }> }[] };
    expect(systems[0]!.metrics).toMatchObject({ count: 1, empty: 1, exact: 0, bleu4: { score: 0 } });
    for (const name of ["rouge1", "rouge2", "rougeL", "rougeLsum", "chrf"])
      expect(systems[0]!.metrics[name]!.score).toBe(0);
  });
});

describe("attune rate", () => {
  it("refuses predictions that are none, not UTF-8, or not there, and begins no study", slow, async () => {
    const errors = [
      await refused("rate", await file("none.jsonl", "\n")),
      await refused("rate", await file("latin.jsonl", latin(`${prediction("a", "caf\u00e9")}\n`))),
      await refused("rate", "nowhere.jsonl"),
      await refused("rate", "results", "nowhere.jsonl"),
    ];
    expect(errors).toMatchInlineSnapshot(`
      [
        "error: none.jsonl holds no predictions. Name the predictions.jsonl of an evaluation.",
        "error: not valid UTF-8 (latin.jsonl:1). Save the file as UTF-8, or mend this line.",
        "error: the file nowhere.jsonl does not exist. Check the path.",
        "error: the ratings file nowhere.jsonl does not exist. Check the path.",
      ]
    `);
    await expect(readFile(join(folder, "ratings.jsonl"))).rejects.toThrow("ENOENT");
  });

  it(
    "says so when the disk is full, keeps what was saved, and goes on when there is space",
    slow,
    async (ctx) => {
      const disk = join(folder, "disk");
      await mkdir(disk);
      try {
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], { stdio: "ignore" });
      } catch {
        return ctx.skip("needs the right to mount a small disk");
      }
      const lines = Array.from({ length: 40 }, (_, i) => prediction(`p${i}`, `Reply ${i}.`));
      const predictions = await file("p.jsonl", lines.join("\n"));
      const words = ["rate", predictions, "--ratings", "disk/ratings.jsonl", "--overlap", "0"];
      const child = spawn(process.execPath, [program, ...words], {
        cwd: folder,
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        let printed = "";
        const url = await new Promise<URL>((resolve, reject) => {
          child.once("exit", () => reject(new Error(printed)));
          child.stdout.setEncoding("utf8").on("data", (text: string) => {
            printed += text;
            const link = /http:\S+/.exec(printed);
            if (link !== null) resolve(new URL(link[0]));
          });
        });
        const call = async (path: string, body: object): Promise<{ status: number; body: unknown }> => {
          const response = await fetch(`${url.origin}${path}`, {
            method: "POST",
            headers: { Authorization: `Bearer ${url.hash.slice(1)}` },
            body: JSON.stringify({ rater: "Anna", tab: "tab-of-anna", ...body }),
          });
          return { status: response.status, body: await response.json() };
        };
        const rate = async ({ assignment }: SeatState) => {
          const { key, revision } = assignment!;
          const scores = { fluency: 2, relevance: 3, safety: 1, comment: "好".repeat(600) };
          return call("/api/ratings", { key, revision, ...scores });
        };
        let seat = (await call("/api/seat", {})).body as SeatState;
        let saved = 0;
        let answer = await rate(seat);
        for (; answer.status === 200; saved++) {
          seat = (answer.body as { state: SeatState }).state;
          answer = await rate(seat);
        }
        expect(saved).toBeGreaterThan(0);
        expect(answer.status).toBe(500);
        expect(
          String((answer.body as { problem: string }).problem).replace(/write \S+\./, "write FILE."),
        ).toBe(
          "the disk is full: cannot write FILE. Free some space or choose another folder, then run the same command again.",
        );
        expect(await readRatings(join(disk, "ratings.jsonl"))).toHaveLength(saved);
        execFileSync("mount", ["-o", "remount,size=1m", disk]);
        // The page sends the same rating again by itself.
        expect((await rate(seat)).status).toBe(200);
        expect(await readRatings(join(disk, "ratings.jsonl"))).toHaveLength(saved + 1);
      } finally {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
        execFileSync("umount", [disk]);
      }
    },
  );
});
