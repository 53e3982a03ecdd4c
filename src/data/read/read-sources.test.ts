import { createHash } from "node:crypto";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { describeCounts, readSources } from "./index.ts";
import { jsonLines, readEverything, readFileOf, withFiles } from "./fixtures.contract.ts";
import type { ReadProgress, SourceReport } from "./types.ts";

const row = (i: number): object => ({ context: `Question ${i}`, response: `Answer ${i}` });
const rows = (count: number): string => jsonLines(Array.from({ length: count }, (_, i) => row(i)));
const dialogue = {
  id: "d",
  messages: [
    { role: "assistant", content: "Welcome" },
    { role: "user", content: "One" },
    { role: "assistant", content: "First" },
    { role: "assistant", content: "part" },
    { role: "user", content: "Two" },
    { role: "assistant", content: "Second", intent: "second" },
    { role: "user", content: "Bye" },
  ],
  intent: "whole",
};

describe("readSources", () => {
  test("says of every source what it is, where that was seen, and what became of its rows", async () => {
    const text = `${rows(3)}{"context": 1}\nnot JSON\n`;
    const { records, rejections, report } = await readFileOf("data.jsonl", text);
    expect(report.sources).toEqual([
      {
        file: expect.stringMatching(/data\.jsonl$/),
        status: "read",
        bytes: text.length,
        sha256: createHash("sha256").update(text).digest("hex"),
        encoding: "utf-8",
        encodingEvidence: "no byte-order mark; only ASCII in the sample",
        fileFormat: "jsonl",
        fileFormatEvidence: "4 of the first 5 lines are JSON by themselves",
        layout: "native",
        layoutEvidence: "3 of 4 sampled rows have `context` (text or a list) and `response` (text)",
        rowsRead: 5,
        rowsKept: 3,
        rowsRejected: 2,
        records: 3,
        replies: 3,
        rejectedBy: { "wrong-type": 1, "json-syntax": 1 },
        notes: [],
      },
    ]);
    expect(records[0]).toEqual({
      dialogueId: "data.jsonl:1",
      messages: [
        { role: "user", content: "Question 0" },
        { role: "assistant", content: "Answer 0" },
      ],
      source: { file: report.sources[0]!.file, line: 1 },
    });
    expect(rejections[1]).toEqual({
      source: { file: report.sources[0]!.file, line: 5, column: 1 },
      rule: "json-syntax",
      reason: 'not valid JSON: a value expected, found "n"',
      excerpt: "not JSON",
    });
    expect(describeCounts(report)).toBe(
      "5 rows read = 3 kept + 2 rejected. Each row is one record with one reply to learn.",
    );
  });

  test("strict stops at the first rejected row", async () => {
    await expect(readFileOf("data.jsonl", `${rows(2)}{"context": 1}\n`, { strict: true })).rejects.toThrow(
      /`context` must be text or a list; it is the number 1 \(.*data\.jsonl:3\)\. Mend or remove this row \(rule wrong-type\)\./,
    );
  });

  test("one record a conversation, or one a reply", async () => {
    const whole = await readFileOf("d.jsonl", jsonLines([dialogue]));
    expect(whole.records).toMatchObject([{ dialogueId: "d", intent: "whole", messages: dialogue.messages }]);
    expect(describeCounts(whole.report)).toBe(
      "1 rows read = 1 kept + 0 rejected. Each conversation is one record with all its replies to learn: 1 records, 2 replies; with unfold: reply they would be 2 records.",
    );
    const single = await readFileOf("d.jsonl", jsonLines([dialogue]), { unfold: "reply" });
    const opening = { role: "assistant", content: "Welcome", supervised: false };
    const first = { role: "assistant", content: "First\npart" };
    expect(single.records.map(({ source, ...record }) => (expect(source.line).toBe(1), record))).toEqual([
      {
        dialogueId: "d",
        intent: "whole",
        turn: 1,
        messages: [opening, { role: "user", content: "One" }, first],
      },
      {
        dialogueId: "d",
        intent: "second",
        turn: 2,
        messages: [
          opening,
          { role: "user", content: "One" },
          { ...first, supervised: false },
          { role: "user", content: "Two" },
          { role: "assistant", content: "Second", intent: "second" },
        ],
      },
    ]);
    expect(describeCounts(single.report, "reply")).toBe(
      "1 rows read = 1 kept + 0 rejected. Each reply is a record with its history: 2 records; whole conversations would be 1.",
    );
    const native = { context: ["a", "b", "c"], response: "d", turn: 5 };
    const same = await readFileOf("n.jsonl", jsonLines([native]), { unfold: "reply" });
    expect(same.records).toMatchObject([{ turn: 5, messages: [{}, { supervised: false }, {}, {}] }]);
  });

  test("a conversation too long to unfold is rejected, not unfolded for hours", async () => {
    const messages = Array.from({ length: 5_000 }, (_, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content: "x",
    }));
    const { rejections } = await readFileOf("d.jsonl", jsonLines([{ messages }]), { unfold: "reply" });
    expect(rejections).toMatchObject([
      { rule: "too-many-turns", reason: expect.stringContaining("5,000 messages") },
    ]);
  });

  test("ids of rows without one do not depend on the folder, and differ between files of one name", async () => {
    await withFiles({ "a/x.jsonl": rows(1), "b/x.jsonl": rows(1) }, async (folder) => {
      const both = await readEverything([folder]);
      expect(both.records.map((record) => record.dialogueId)).toEqual(["x.jsonl:1", "x.jsonl~2:1"]);
      const labels = new Set<string>();
      const ids = [];
      for (const name of ["a", "b"]) {
        const { records } = await readEverything([join(folder, name)], { labels });
        ids.push(records[0]?.dialogueId);
      }
      expect(ids).toEqual(["x.jsonl:1", "x.jsonl~2:1"]);
    });
  });

  test("progress counts bytes as they lie on disk, up to their sum", async () => {
    await withFiles({ "a.jsonl": rows(3_000), "b.csv": "context,response\nx,y\n" }, async (folder) => {
      const seen: ReadProgress[] = [];
      const sources: [string, number][] = [];
      const onSource = (source: SourceReport): void =>
        void sources.push([source.file.slice(folder.length + 1), source.rowsRead]);
      const { report } = await readEverything([folder], {
        onProgress: (step) => seen.push({ ...step }),
        onSource,
      });
      const total = report.sources.reduce((sum, source) => sum + source.bytes!, 0);
      expect(seen.at(-1)).toMatchObject({ bytesRead: total, bytesTotal: total });
      expect(seen.every((step, i) => i === 0 || step.bytesRead >= seen[i - 1]!.bytesRead)).toBe(true);
      // When the layout is known and again at the end.
      expect(sources).toEqual([
        ["a.jsonl", 0],
        ["a.jsonl", 3_000],
        ["b.csv", 0],
        ["b.csv", 1],
      ]);
    });
  });

  test("standard input, in pieces of text or bytes", async () => {
    const text = rows(5);
    const stdin = Readable.from([text.slice(0, 50), Buffer.from(text.slice(50))]);
    const { records, report } = await readEverything(["-"], { stdin });
    expect([records.length, report.sources[0]?.file]).toEqual([5, "standard input"]);
  });

  test("a file of a folder that is no data is skipped with its reason; a named one is an error", async () => {
    await withFiles(
      { "data.jsonl": rows(1), "schema.json": '{"fields": [{"a": 1}]}', "empty.csv": " \n" },
      async (folder) => {
        const { records, report } = await readEverything([folder]);
        expect(records.length).toBe(1);
        const skipped = report.sources.filter((source) => source.status === "skipped");
        expect(skipped.map((source) => source.skipReason?.replaceAll(`${folder}/`, ""))).toEqual([
          "empty.csv is empty. Check the file.",
          expect.stringMatching(
            /^schema\.json has no layout that is known: its fields are fields\. Map its fields/,
          ),
        ]);
        await expect(readEverything([join(folder, "schema.json")])).rejects.toThrow(
          /no layout that is known/,
        );
        await expect(readEverything([join(folder, "empty.csv")])).rejects.toThrow(/is empty/);
        await expect(readEverything([join(folder, "{schema.json,empty.csv}")])).rejects.toThrow(
          /no rows can be read from .*is empty/,
        );
      },
    );
  });

  test("a reader that stops early leaves nothing open", async () => {
    await withFiles({ "a.jsonl": rows(20_000) }, async (folder) => {
      for await (const result of readSources([join(folder, "a.jsonl")])) {
        expect(result.kind).toBe("record");
        break;
      }
      const open = (): string[] => process.getActiveResourcesInfo().filter((name) => name.includes("FS"));
      await expect.poll(open).toEqual([]);
    });
  });

  test("a file of broken rows only is rejected row by row, a long one is given up", async () => {
    const few = await readFileOf("x.jsonl", "{a\n{b\n");
    expect([few.rejections.length, few.report.sources[0]?.notes]).toEqual([
      2,
      ["no row could be read, so the layout is not known"],
    ]);
    await expect(readFileOf("x.jsonl", "{a\n".repeat(20_000))).rejects.toThrow(
      /none of the first 10,000 rows of .*x\.jsonl can be read; the first: not valid JSON: .*x\.jsonl:1\)/,
    );
  });

  test("an unreadable file is said", async (context) => {
    if (process.getuid?.() === 0) context.skip("root may read every file");
    await withFiles({ "a.jsonl": rows(1) }, async (folder) => {
      await chmod(join(folder, "a.jsonl"), 0);
      await expect(readEverything([join(folder, "a.jsonl")])).rejects.toThrow(/no permission to read/);
    });
  });
});
