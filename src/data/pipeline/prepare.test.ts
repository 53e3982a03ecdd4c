/** Preparing from end to end on small made-up corpora: nothing lost, nothing leaked, the same bytes, clean failures. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CancelledError, type Random, random } from "../../util/index.ts";
import { SPLITS } from "../shape/index.ts";
import { checkDataset, openDataset } from "../dataset/index.ts";
import type { DataConfigInput } from "./config.ts";
import { prepareDataset } from "./prepare.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-prepare-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const INTENTS = ["track_order", "refund", "change_address", "invoice", "complaint"];

function sentence(rng: Random, words: number): string {
  return Array.from({ length: words }, () => `w${rng.integer(3000).toString(36)}`).join(" ");
}

/** One native row a reply, each with its history; the first intent has two thirds of the rows. */
function nativeRows(conversations: number, seed: number): string[] {
  const rng = random(seed, "rows");
  return Array.from({ length: conversations }, (_, c) => {
    const intent = rng.next() < 0.35 ? INTENTS[0]! : rng.pick(INTENTS);
    const context: { role: string; content: string }[] = [];
    return Array.from({ length: 1 + rng.integer(5) }, (_, turn) => {
      context.push({ role: "user", content: sentence(rng, 9) });
      const response = sentence(rng, 12);
      const row = JSON.stringify({ dialogue_id: `c${c}`, turn, context, response, intent });
      context.push({ role: "assistant", content: response });
      return row;
    });
  }).flat();
}

async function source(name: string, lines: readonly string[]): Promise<string> {
  const path = join(root, name);
  await writeFile(path, lines.map((line) => `${line}\n`).join(""));
  return path;
}

const out = (): string => join(root, "set");
const config = (...sources: string[]): DataConfigInput => ({ sources, out: out() });
const visible = async (): Promise<string[]> => (await readdir(root)).sort();

async function bytesOf(folder: string): Promise<Map<string, string>> {
  const names = (await readdir(folder)).sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const)),
  );
}

describe("prepareDataset", () => {
  it("writes a data set that opens, adds up and does not leak", async () => {
    const raw = await source("raw.jsonl", [...nativeRows(120, 1), "{broken", '{"context": 3}']);
    const { manifest } = await prepareDataset(config(raw));
    expect(await readdir(out())).toEqual(
      expect.arrayContaining([
        "dataset.json",
        "rejected.jsonl",
        "report.html",
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
      ]),
    );
    expect(await visible()).toEqual(["raw.jsonl", "set"]);
    expect(manifest.rows.read).toBe(manifest.rows.kept + manifest.rows.rejected);
    expect(manifest.rejected).toMatchObject({ "json-syntax": 1 });
    expect(manifest.rejected["intent-balance"]).toBeGreaterThan(20);
    const rejected = (await readFile(join(out(), "rejected.jsonl"), "utf8")).trim().split("\n");
    expect(rejected).toHaveLength(manifest.rows.rejected);
    expect(JSON.parse(rejected.find((line) => line.includes("json-syntax"))!)).toMatchObject({
      file: raw,
      excerpt: "{broken",
    });
    const dataset = await openDataset(out());
    const seen = new Map<string, string>();
    const intents = new Map<string, number>();
    for (const split of SPLITS) {
      let examples = 0;
      for await (const { dialogueId, intent } of dataset.examples(split)) {
        examples += 1;
        expect(seen.get(dialogueId) ?? split).toBe(split);
        seen.set(dialogueId, split);
        if (split === "train") intents.set(intent!, (intents.get(intent!) ?? 0) + 1);
      }
      expect(examples).toBe(manifest.splits[split].examples);
    }
    const total = [...intents.values()].reduce((a, b) => a + b);
    expect(Math.max(...intents.values()) / total).toBeLessThanOrEqual(0.3);
    expect(manifest.maxIntentShare).toBeCloseTo(Math.max(...intents.values()) / total, 5);
    const check = await checkDataset(out());
    expect(check.problems).toEqual([]);
    expect(check.leaks.found).toEqual([]);
  });

  it("gives the same bytes again, in another folder, with and without a thread", async () => {
    const raw = await source("raw.jsonl", nativeRows(60, 2));
    await prepareDataset({ ...config(raw), out: join(root, "a") }, { threads: false });
    await prepareDataset({ ...config(raw), out: join(root, "b") }, { threads: true });
    expect(await bytesOf(join(root, "b"))).toEqual(await bytesOf(join(root, "a")));
    await prepareDataset({ ...config(raw), out: join(root, "c"), seed: 7 }, { threads: false });
    expect((await bytesOf(join(root, "c"))).get("train.jsonl")).not.toEqual(
      (await bytesOf(join(root, "a"))).get("train.jsonl"),
    );
  });

  it("keeps rows of one conversation together even where the source scatters them", async () => {
    const rows = random(4, "scatter").shuffle(nativeRows(40, 3));
    const { manifest } = await prepareDataset(config(await source("raw.jsonl", rows)));
    expect(manifest.leaks).toMatchObject({ dialogueId: 0, conversation: 0, nearDuplicate: 0 });
    const lines = (await readFile(join(out(), "train.jsonl"), "utf8")).trim().split("\n");
    const ids = lines.map((line) => (JSON.parse(line) as { dialogue_id: string }).dialogue_id);
    const runs = ids.filter((id, i) => id !== ids[i - 1]);
    expect(new Set(runs).size).toBe(runs.length);
  });

  it("moves near-duplicate conversations into one split", async () => {
    const rng = random(5, "near");
    const base = Array.from({ length: 30 }, () => [sentence(rng, 40), sentence(rng, 40)]);
    // Each conversation three times, one word changed: near-duplicates of each other.
    const rows = base.flatMap(([question, answer], c) =>
      ["x", "y", "z"].map((word, copy) =>
        JSON.stringify({
          dialogue_id: `${c}-${copy}`,
          context: question,
          response: `${answer} ${word}`,
          intent: INTENTS[c % 5],
        }),
      ),
    );
    const raw = await source("raw.jsonl", rows);
    const { manifest } = await prepareDataset({
      ...config(raw),
      clean: { nearDuplicates: { enabled: false } },
    });
    expect(manifest.rows.kept).toBe(90);
    expect(manifest.shape.split.nearDuplicatesMoved).toBeGreaterThan(0);
    expect(manifest.leaks.nearDuplicate).toBe(0);
  });

  it("looks again at conversations that balancing made shorter", async () => {
    // Every long conversation begins with an exchange that is the whole of a short one. Thinning the frequent intent
    // can leave that exchange alone in train while its twin is held out.
    const rng = random(6, "shorter");
    const rows: string[] = [];
    for (let c = 0; c < 60; c++) {
      const [question, answer] = [sentence(rng, 30), sentence(rng, 30)];
      const context = [{ role: "user", content: question }];
      rows.push(
        JSON.stringify({ dialogue_id: `short${c}`, context, response: answer, intent: INTENTS[1 + (c % 4)] }),
      );
      const longer = [...context, { role: "assistant", content: answer }];
      rows.push(
        JSON.stringify({ dialogue_id: `long${c}`, context, response: answer, intent: INTENTS[1 + (c % 4)] }),
      );
      for (let turn = 0; turn < 4; turn++) {
        longer.push({ role: "user", content: sentence(rng, 30) });
        const reply = sentence(rng, 30);
        rows.push(
          JSON.stringify({ dialogue_id: `long${c}`, context: longer, response: reply, intent: INTENTS[0] }),
        );
        longer.push({ role: "assistant", content: reply });
      }
    }
    const off = { enabled: false };
    const clean = { exactDuplicates: off, nearDuplicates: off, boilerplate: off };
    const raw = await source("raw.jsonl", rows);
    const { manifest } = await prepareDataset({
      ...config(raw),
      clean,
      shape: { balance: { maxLoss: 0.9 } },
    });
    expect(manifest.leaks).toMatchObject({ conversation: 0, nearDuplicate: 0 });
    expect(manifest.rejected["cross-split-duplicate"]).toBeGreaterThan(0);
  });

  it("mixes, repeats long dialogues and balances by weights when asked", async () => {
    const shop = await source("shop.jsonl", nativeRows(80, 8));
    const bank = await source(
      "bank.jsonl",
      nativeRows(20, 9).map((row) => row.replace('"c', '"bank')),
    );
    const { manifest } = await prepareDataset({
      ...config(),
      sources: [
        { path: shop, weight: 1 },
        { path: bank, weight: 1 },
      ],
      shape: { balance: { method: "weight" }, long: { overTurns: 2, share: 0.6 } },
    });
    const [first, second] = manifest.shape.mix!.sources;
    expect(first!.after).toBe(second!.after);
    expect(manifest.shape.long.shareAfter).toBeGreaterThanOrEqual(0.6);
    expect(manifest.maxIntentShare).toBeLessThanOrEqual(0.3 + 1e-6);
    let weighted = 0;
    let total = 0;
    for await (const { weight } of (await openDataset(out())).examples("train")) {
      if (weight !== undefined) weighted += 1;
      total += weight ?? 1;
    }
    expect(weighted).toBeGreaterThan(0);
    expect(total).toBeCloseTo(manifest.splits.train.examples, 2);
  });

  it("holds its promises for any small corpus", async () => {
    const row = fc.record({
      conversation: fc.integer({ min: 0, max: 12 }),
      intent: fc.option(fc.constantFrom("a", "b", "c", "d", "__proto__", "<b>x</b>"), { nil: undefined }),
      words: fc.integer({ min: 1, max: 40 }),
      seed: fc.integer({ min: 0, max: 30 }),
      broken: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 40 }), async (rows) => {
        const lines = rows.map(({ conversation, intent, words, seed, broken }) => {
          const rng = random(seed, "any");
          const line = JSON.stringify({
            dialogue_id: `${conversation}`,
            context: sentence(rng, 5),
            response: sentence(rng, words),
            intent,
          });
          return broken && seed % 3 === 0 ? line.slice(0, -2) : line;
        });
        const raw = await source("any.jsonl", lines);
        const outcome = await prepareDataset(config(raw), { overwrite: true, threads: false }).catch(
          (error: Error) => error,
        );
        if (outcome instanceof Error) {
          expect(outcome.message).toMatch(/rows were rejected|no layout|can be read/);
          return;
        }
        const { manifest } = outcome;
        expect(manifest.rows.read).toBe(lines.length);
        expect(manifest.rows.kept + manifest.rows.rejected).toBe(lines.length);
        expect((await checkDataset(out())).problems).toEqual([]);
        if (manifest.shape.balance.reached) expect(manifest.maxIntentShare).toBeLessThanOrEqual(0.3 + 1e-6);
      }),
      { numRuns: 25 },
    );
  });
});

describe("prepareDataset, when something is wrong", () => {
  it("refuses an occupied folder before it reads anything", async () => {
    await mkdir(out());
    await writeFile(join(out(), "mine.txt"), "x");
    await expect(prepareDataset(config(join(root, "missing.jsonl")))).rejects.toThrow(
      "is not a data set, so it is never replaced",
    );
  });

  it("replaces a data set with overwrite, and keeps the old one when the new one fails", async () => {
    const raw = await source("raw.jsonl", nativeRows(20, 1));
    await prepareDataset(config(raw));
    const before = await bytesOf(out());
    await expect(prepareDataset(config(raw))).rejects.toThrow("--force");
    await expect(
      prepareDataset(config(await source("bad.jsonl", ["{", "[", "x"])), { overwrite: true }),
    ).rejects.toThrow();
    expect(await bytesOf(out())).toEqual(before);
    await prepareDataset({ ...config(raw), seed: 3 }, { overwrite: true });
    expect(await bytesOf(out())).not.toEqual(before);
    expect(await visible()).toEqual(["bad.jsonl", "raw.jsonl", "set"]);
  });

  it.each([true, false])("leaves nothing when it is cancelled midway (thread: %s)", async (threads) => {
    const raw = await source("raw.jsonl", nativeRows(600, 1));
    for (const phase of ["read", "split", "check"]) {
      const controller = new AbortController();
      const running = prepareDataset(config(raw), {
        threads,
        signal: controller.signal,
        onProgress: (progress) => progress.phase === phase && controller.abort(),
      });
      await expect(running).rejects.toThrow(CancelledError);
      expect(await visible()).toEqual(["raw.jsonl"]);
    }
  });

  it("says that the input is empty", async () => {
    await expect(prepareDataset(config(await source("raw.jsonl", [])))).rejects.toThrow("raw.jsonl is empty");
    expect(await visible()).toEqual(["raw.jsonl"]);
  });

  it("says when every row was rejected, and by what", async () => {
    const rows = Array.from({ length: 12 }, (_, i) =>
      JSON.stringify({ context: `question ${i}`, response: "Yes.", intent: "a" }),
    );
    const running = prepareDataset(config(await source("raw.jsonl", rows)));
    await expect(running).rejects.toThrow(
      "all 12 rows were rejected (12 by reply-length), so there is nothing to learn from",
    );
    expect(await visible()).toEqual(["raw.jsonl"]);
  });

  it("stops at the first broken row when strict, with its place, also from the thread", async () => {
    const raw = await source("raw.jsonl", [...nativeRows(2, 1), "{broken"]);
    for (const threads of [true, false]) {
      const running = prepareDataset(config(raw), { strict: true, threads });
      await expect(running).rejects.toThrow(/raw\.jsonl:\d+/);
      await expect(running).rejects.toMatchObject({ name: "UserError" });
    }
    expect(await visible()).toEqual(["raw.jsonl"]);
  });

  it("names what is wrong in the config", async () => {
    const wrong = { ...config("x"), shape: { split: { train: 0.9, validation: 0.2, test: 0 } } };
    await expect(prepareDataset(wrong)).rejects.toThrow("train, validation and test must sum to 1");
    await expect(prepareDataset({ ...config("x"), format: "sharegtp" })).rejects.toThrow(/sharegpt/);
  });

  it("says that the disk is full and leaves nothing", async (ctx) => {
    const mount = join(root, "tiny");
    await mkdir(mount);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], { stdio: "pipe" });
    } catch {
      ctx.skip("mounting a small file system needs root");
    }
    try {
      const raw = await source("raw.jsonl", nativeRows(1000, 1));
      await expect(prepareDataset({ sources: [raw], out: join(mount, "set") })).rejects.toThrow(
        "the disk is full",
      );
      expect(await readdir(mount)).toEqual([]);
    } finally {
      execFileSync("umount", [mount]);
    }
  });
});
