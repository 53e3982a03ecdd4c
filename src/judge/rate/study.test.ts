/** A study on disk: who gets what, what is kept, and what a crash may cost (nothing that was acknowledged). */
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inFolder, rateOne, seat, somePredictions } from "./fixtures.contract.ts";
import { appender, openLog } from "./log.ts";
import { planItems } from "./plan.ts";
import { readPredictions } from "./prediction.ts";
import { openStudy } from "./study.ts";
import { exportRatings, importRatings, readRatings } from "./transfer.ts";

const lines = async (path: string): Promise<string[]> => (await readFile(path, "utf8")).trimEnd().split("\n");

describe("the plan", () => {
  it("takes every system's reply to the prompts it takes, spread over intents", () => {
    const items = planItems(somePredictions(90, ["a", "b", "c"]), "salt", { prompts: 30, overlap: 0.4 });
    const count = (of: (item: (typeof items)[number]) => string, value: string): number =>
      items.filter((item) => of(item) === value).length;
    expect(items).toHaveLength(90);
    for (const system of ["a", "b", "c"]) expect(count((item) => item.system, system)).toBe(30);
    for (const intent of ["track", "refund", "cancel"])
      expect(count((item) => item.intent!, intent)).toBe(30);
    const overlap = items.filter((item) => item.overlap);
    expect(overlap).toHaveLength(36);
    expect(new Set(overlap.map((item) => item.target))).toEqual(new Set([3]));
    expect(overlap.filter((item) => item.intent === "track")).toHaveLength(12);
  });

  it("is the same for one seed and shuffled", () => {
    const predictions = somePredictions(20);
    const order = (seed: number): string[] => planItems(predictions, "s", { seed }).map((item) => item.id);
    expect(order(1)).toEqual(order(1));
    expect(order(1)).not.toEqual(order(2));
    expect(order(1)).not.toEqual(predictions.map(({ id }) => id));
  });

  it("has no overlap set where none is wanted, and a rater count for all", () => {
    const items = planItems(somePredictions(12), "s", { overlap: 0, raters: 2 });
    expect(items.every((item) => !item.overlap && item.target === 2)).toBe(true);
  });
});

describe("handing out", () => {
  it("three raters finish: each overlap reply has three ratings, each other one, systems are balanced throughout", async () => {
    await inFolder(async (folder) => {
      const study = await openStudy(join(folder, "r.jsonl"), somePredictions(30), { overlap: 0.4 });
      const raters = ["Anna", "Ben", "陈明"].map((name) => seat(name));
      let given = 0;
      let going = true;
      while (going) {
        going = false;
        for (const rater of raters) going = (await rateOne(study, rater)) || going;
        given += 3;
        if (given === 30) {
          const tuned = study.ratings().filter((rating) => rating.system === "secret-tuned").length;
          expect(Math.abs(tuned - 15)).toBeLessThanOrEqual(2);
        }
      }
      for (const item of study.items) {
        const count = study
          .ratings()
          .filter(({ id, system }) => id === item.id && system === item.system).length;
        expect(count).toBe(item.target);
      }
      expect(study.seat(raters[0]!)).toMatchObject({ left: 0 });
      await study.close();
    });
  });

  it("keeps a reply before its tab, gives another tab another one, and frees what is abandoned", async () => {
    await inFolder(async (folder) => {
      let time = 1e12;
      const options = { overlap: 0, prompts: 1, now: () => time, leaseMs: 1000 };
      const study = await openStudy(join(folder, "r.jsonl"), somePredictions(1), options);
      const first = study.seat(seat("Anna", "tab-one-1")).assignment!;
      expect(study.seat(seat("Anna", "tab-one-1")).assignment).toEqual(first);
      const second = study.seat(seat("anna", "tab-two-2")).assignment!;
      expect(second.key).not.toBe(first.key);
      expect(study.seat(seat("Ben"))).toMatchObject({ left: 2, elsewhere: 2 });
      expect(study.seat(seat("Ben")).assignment).toBeUndefined();
      time += 2000;
      expect(study.seat(seat("Ben")).assignment).toBeDefined();
      await study.close();
    });
  });
});

it("a rater who closes the tab gets its reply back in the next, when nothing else is left", async () => {
  await inFolder(async (folder) => {
    let time = 1e12;
    const options = { overlap: 0, prompts: 1, now: () => time };
    const study = await openStudy(join(folder, "r.jsonl"), somePredictions(1), options);
    const first = study.seat(seat("Anna", "tab-one-1")).assignment!;
    expect(await rateOne(study, seat("Anna", "tab-two-2"))).toBe(true);
    // The first tab may still be open: nothing is taken from it at once, and nothing by others.
    expect(study.seat(seat("Anna", "tab-two-2")).assignment).toBeUndefined();
    time += 30_000;
    expect(study.seat(seat("Ben")).assignment).toBeUndefined();
    const back = study.seat(seat("Anna", "tab-two-2")).assignment!;
    expect(back.key).toBe(first.key);
    const { key, revision } = first;
    const rating = { key, revision, rater: "Anna", fluency: 3, relevance: 3, safety: 1 };
    // It was open after all: the first rating stands, the other is told so.
    expect(await study.rate(seat("Anna", "tab-one-1"), rating)).toMatchObject({ saved: true });
    expect(await study.rate(seat("Anna", "tab-two-2"), { ...rating, fluency: 0 })).toEqual({
      saved: false,
      reason: "other-verdict",
    });
    expect(study.ratings()).toHaveLength(2);
    await study.close();
  });
});

describe("what is written", () => {
  it("a rating sent twice, at once or later, from one tab or two, stands once", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "r.jsonl");
      const study = await openStudy(path, somePredictions(2));
      const at = seat("Anna");
      const { key, revision } = study.seat(at).assignment!;
      const rating = { key, revision, rater: "Anna", fluency: 3, relevance: 1, safety: 1, comment: "好" };
      const outcomes = await Promise.all([
        study.rate(at, rating),
        study.rate(at, rating),
        study.rate(seat("ANNA", "tab-two-2"), { ...rating, rater: "ANNA" }),
      ]);
      expect(outcomes.map((outcome) => outcome.saved && outcome.repeated)).toEqual([false, true, true]);
      expect(await study.rate(at, rating)).toEqual({ saved: true, repeated: true });
      expect(await study.rate(at, { ...rating, fluency: 0 })).toEqual({
        saved: false,
        reason: "other-verdict",
      });
      expect(study.ratings()).toHaveLength(1);
      expect((await lines(path)).filter((line) => line.includes('"rating"'))).toHaveLength(1);
      expect(await study.rate(at, { ...rating, key: "0".repeat(16) })).toMatchObject({
        reason: "unknown-item",
      });
      await study.close();
    });
  });

  it("undo takes back one rating at a time, however often it is pressed, and a late repeat does not bring it back", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "r.jsonl");
      const study = await openStudy(path, somePredictions(3));
      const at = seat("Anna");
      await rateOne(study, at);
      const { assignment } = study.seat(at);
      const second = { ...assignment!, rater: "Anna", fluency: 1, relevance: 1, safety: 0, comment: "rude" };
      const { key, revision, rater, fluency, relevance, safety, comment } = second;
      const submission = { key, revision, rater, fluency, relevance, safety, comment };
      await study.rate(at, submission);
      const last = { ...study.seat(at).last!, rater: "Anna" };
      expect(last).toMatchObject({ key, revision: 0 });
      await Promise.all([study.undo(at, last), study.undo(at, last)]);
      expect(study.ratings()).toHaveLength(1);
      const again = study.seat(at).assignment!;
      expect(again).toMatchObject({
        key,
        revision: 1,
        previous: { fluency: 1, relevance: 1, safety: 0, comment: "rude" },
      });
      expect(await study.rate(at, submission)).toEqual({ saved: false, reason: "stale" });
      await study.rate(at, { ...submission, revision: 1, safety: 1 });
      await study.close();
      const reopened = await openStudy(path, somePredictions(3));
      expect(reopened.ratings()).toHaveLength(2);
      expect(reopened.ratings()).toContainEqual(expect.objectContaining({ safety: 1, comment: "rude" }));
      await reopened.close();
    });
  });

  it("a skipped reply is not shown to that rater again and takes nobody's place", async () => {
    await inFolder(async (folder) => {
      const study = await openStudy(join(folder, "r.jsonl"), somePredictions(1, ["only"]), { overlap: 0 });
      const at = seat("Anna");
      const { key, revision } = study.seat(at).assignment!;
      await study.skip(at, { key, revision, rater: "Anna" });
      expect(study.seat(at)).toMatchObject({ done: 1, left: 0 });
      expect(study.ratings()).toHaveLength(0);
      expect(study.seat(seat("Ben")).assignment!.key).toBe(key);
      await study.close();
    });
  });
});

describe("the file", () => {
  it("loses a torn last line, which nobody was told is saved, and nothing else", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "r.jsonl");
      const study = await openStudy(path, somePredictions(3));
      for (let i = 0; i < 3; i++) await rateOne(study, seat("Anna"));
      await study.close();
      const whole = await readFile(path);
      const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
      for (const cut of [lastLine + 1, lastLine + 40, whole.length - 2]) {
        await writeFile(path, whole.subarray(0, cut));
        const reopened = await openStudy(path, somePredictions(3));
        expect(reopened.tornBytes).toBe(cut - lastLine);
        expect(reopened.ratings()).toHaveLength(2);
        await rateOne(reopened, seat("Anna"));
        expect(reopened.ratings()).toHaveLength(3);
        await reopened.close();
        expect(await readRatings(path)).toHaveLength(3);
      }
      await writeFile(path, whole.subarray(0, whole.length - 1));
      const unended = await openStudy(path, somePredictions(3));
      expect(unended.ratings()).toHaveLength(3);
      await unended.close();
    });
  });

  it("names the line that was damaged in the middle", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "r.jsonl");
      const study = await openStudy(path, somePredictions(2));
      await rateOne(study, seat("Anna"));
      await study.close();
      const text = await readFile(path, "utf8");
      await writeFile(path, `${text.slice(0, -20)}\n${text.slice(-120)}`);
      await expect(openStudy(path, somePredictions(2))).rejects.toThrow(/not valid JSON.*r\.jsonl:6/);
      await writeFile(
        path,
        text + text.split("\n").at(-2)!.replace("Anna", "Ben").replace('"revision":0', '"revision":4'),
      );
      await appendFile(path, "\n");
      await expect(openStudy(path, somePredictions(2))).rejects.toThrow(
        /revision 4 where 0 is due.*r\.jsonl:7/,
      );
    });
  });

  it("has one writer, belongs to its predictions, and is taken over from a process that is gone", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "r.jsonl");
      const study = await openStudy(path, somePredictions(2));
      await expect(openStudy(path, somePredictions(2))).rejects.toThrow(/r\.jsonl is in use by process \d+/);
      await study.close();
      const changed = somePredictions(2).map((prediction) => ({ ...prediction, prediction: "other" }));
      await expect(openStudy(path, changed)).rejects.toThrow("belongs to other predictions");
      await writeFile(`${path}.lock`, "999999999");
      await (await openStudy(path, somePredictions(2))).close();
    });
  });

  it("groups appends that arrive together and keeps their order", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "log.jsonl");
      const { log } = await openLog(path);
      await Promise.all(Array.from({ length: 200 }, (_, i) => log.append([{ i }])));
      await log.close();
      expect((await lines(path)).map((line) => (JSON.parse(line) as { i: number }).i)).toEqual(
        Array.from({ length: 200 }, (_, i) => i),
      );
      await expect(log.append([{}])).rejects.toThrow("closed");
    });
  });
});

it("a disk that fills up in the middle of a write leaves whole records alone, and writing goes on when there is space", async () => {
  let [content, full, stuck] = ["{}\n", false, false];
  const enospc = Object.assign(new Error("no space"), { code: "ENOSPC" });
  const log = appender(
    {
      appendFile: async (bytes) => {
        const text = String(bytes);
        content += full ? text.slice(0, text.length / 2) : text;
        if (full) throw enospc;
      },
      truncate: async (size) => {
        if (stuck) throw enospc;
        content = content.slice(0, size);
      },
      datasync: async () => {},
      close: async () => {},
    },
    3,
    "ratings.jsonl",
    async () => {},
  );
  await log.append([{ a: 1 }]);
  full = true;
  await expect(log.append([{ b: 2 }, { c: 3 }])).rejects.toThrow(
    "the disk is full: cannot write ratings.jsonl",
  );
  expect(content).toBe('{}\n{"a":1}\n');
  full = false;
  await log.append([{ b: 2 }]);
  expect(content).toBe('{}\n{"a":1}\n{"b":2}\n');
  [full, stuck] = [true, true];
  await expect(log.append([{ d: 4 }])).rejects.toThrow("the disk is full");
  full = false;
  await expect(log.append([{ e: 5 }])).rejects.toThrow("half a record stands at its end");
  await log.close();
});

describe("export and import", () => {
  it("carry ratings from one machine to another, once", async () => {
    await inFolder(async (folder) => {
      const here = join(folder, "here.jsonl");
      const study = await openStudy(here, somePredictions(4));
      for (let i = 0; i < 3; i++) await rateOne(study, seat("Anna"), i);
      await study.close();
      const there = join(folder, "there.jsonl");
      const other = await openStudy(there, somePredictions(4));
      for (let i = 0; i < 4; i++) await rateOne(other, seat("Ben"), 3);
      await rateOne(other, seat("Anna"), 3);
      await other.close();
      const exported = join(folder, "export.jsonl");
      await exportRatings(exported, await readRatings(there));
      const first = await importRatings(here, exported);
      expect(first.added + first.known + first.conflicts.length).toBe(5);
      expect(first.added).toBeGreaterThanOrEqual(4);
      const again = await importRatings(here, exported);
      expect(again).toMatchObject({ added: 0, foreign: 0, known: first.added + first.known });
      const ratings = await readRatings(here);
      expect(ratings).toHaveLength(3 + first.added);
      const pairs = ratings.map(({ id, system, rater }) => id + system + rater);
      expect(new Set(pairs).size).toBe(pairs.length);
      expect(ratings[0]).toMatchObject({ reference: expect.any(String), context: expect.any(Array) });
      await expect(importRatings(join(folder, "none.jsonl"), exported)).rejects.toThrow("holds no study");
    });
  });

  it("leaves ratings of other replies out and says so", async () => {
    await inFolder(async (folder) => {
      const [here, there] = [join(folder, "here.jsonl"), join(folder, "there.jsonl")];
      await (await openStudy(here, somePredictions(2))).close();
      const other = await openStudy(there, somePredictions(2, ["x-base"]));
      await rateOne(other, seat("Ben"));
      await other.close();
      expect(await importRatings(here, there)).toMatchObject({ added: 0, foreign: 1 });
    });
  });
});

it.each([
  ["", "holds no predictions"],
  ['{"id":"a","system":"s","prediction":"p"}', "`dialogue_id`"],
  ['{"id":"a","dialogue_id":"d","context":[],"system":"s","prediction":"p"}', "`context`"],
  [
    '{"id":"a","dialogue_id":"d","context":[{"role":"robot","content":"x"}],"system":"s","prediction":"p"}',
    "`context.0.role`",
  ],
  ['{"id":"a","dialogue_id":"d","context":[{"role":"user","content":"x"}],"system":"s"}', "`prediction`"],
  [
    `${'{"id":"a","dialogue_id":"d","context":[{"role":"user","content":"x"}],"system":"s","prediction":"p"}\n'.repeat(2)}`,
    "stands already in line 1",
  ],
])("predictions %j are refused with their line", async (text, message) => {
  await inFolder(async (folder) => {
    const path = join(folder, "p.jsonl");
    await writeFile(path, text);
    await expect(readPredictions(path)).rejects.toThrow(message);
  });
});
