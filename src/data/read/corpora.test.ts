import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, test, type TestContext } from "vitest";
import type { DialogueRecord } from "../record.ts";
import { readEverything } from "./fixtures.contract.ts";

/** Real corpora, and the same dialogues as another program converted them; not part of the repository. */
const DATA = fileURLToPath(new URL("../../../../shared/data", import.meta.url));

interface Converted {
  readonly dialogue_id: string;
  readonly turn: number;
  readonly context: readonly { readonly role: string; readonly content: string }[];
  readonly response: string;
  readonly intent: string;
}

function needsData(context: TestContext): void {
  if (!existsSync(DATA)) context.skip("the corpora of ../shared/data are not here");
}

async function converted(set: string): Promise<Converted[]> {
  const parts = await Promise.all(
    ["train", "test"].map(async (split) =>
      gunzipSync(await readFile(join(DATA, `jsonl/${set}.${split}.jsonl.gz`))),
    ),
  );
  return parts.flatMap((part) =>
    part
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Converted),
  );
}

/** Dialogue, turn, intent, history and reply as one comparable text. */
const keyOfRecord = (record: DialogueRecord): string =>
  JSON.stringify([
    record.dialogueId,
    record.turn,
    record.intent,
    ...record.messages.map(({ role, content }) => [role, content]),
  ]);

const keyOfConverted = (row: Converted): string =>
  JSON.stringify([
    row.dialogue_id,
    row.turn,
    row.intent,
    ...row.context.map(({ role, content }) => [role, content]),
    ["assistant", row.response],
  ]);

describe("the corpora in their original files", () => {
  test("SGD gives the converted replies, histories and intents", async (context) => {
    needsData(context);
    const { records, rejections, report } = await readEverything([join(DATA, "sgd")], { unfold: "reply" });
    expect(rejections).toEqual([]);
    const mine = new Map(
      records.map((record) => [`${record.dialogueId}/${record.turn}`, keyOfRecord(record)]),
    );
    const theirs = await converted("sgd");
    expect(
      theirs.filter((row) => mine.get(`${row.dialogue_id}/${row.turn}`) !== keyOfConverted(row)),
    ).toEqual([]);
    // The converted set leaves out whole dialogues, and the first reply of two others ("What city?", "Where are you located?").
    const dialogues = new Set(theirs.map((row) => row.dialogue_id));
    const extra = records.filter((record) => dialogues.has(record.dialogueId)).length - theirs.length;
    expect([records.length, theirs.length, extra]).toEqual([23_583, 17_995, 2]);
    const skipped = report.sources
      .filter((source) => source.status === "skipped")
      .map((source) => source.file);
    expect(skipped.map((file) => file.slice(DATA.length + 1))).toEqual([
      "sgd/dev/schema.json.gz",
      "sgd/test/schema.json.gz",
      "sgd/train/schema.json.gz",
    ]);
  });

  test("CrossWOZ gives the converted replies, histories and intents, all of them", async (context) => {
    needsData(context);
    const inputs = ["test", "val"].map((split) => join(DATA, `crosswoz/${split}.json.zip`));
    const { records, rejections, report } = await readEverything(inputs, { unfold: "reply" });
    expect(rejections).toEqual([]);
    const theirs = (await converted("crosswoz")).map(keyOfConverted).sort();
    expect(records.map(keyOfRecord).sort()).toEqual(theirs);
    expect(report.sources.map((source) => source.file.split("/").at(-1))).toEqual([
      "test.json.zip!test.json",
      "val.json.zip!val.json",
    ]);
  });

  test("Bitext gives the converted replies from CSV, and the same from Parquet", async (context) => {
    needsData(context);
    const csv = await readEverything([join(DATA, "bitext/bitext_3500_original_layout.csv.gz")]);
    const parquet = await readEverything([join(DATA, "bitext/test.parquet")]);
    expect([csv.rejections, parquet.rejections]).toEqual([[], []]);
    const text = ({ messages, intent }: DialogueRecord): string =>
      JSON.stringify([messages.map(({ content }) => content), intent]);
    const theirs = (await converted("bitext")).map((row) =>
      JSON.stringify([[row.context[0]!.content, row.response], row.intent]),
    );
    expect(csv.records.map(text).sort()).toEqual(theirs.sort());
    expect(parquet.records.map(text)).toEqual(csv.records.map(text));
    expect(
      csv.records.filter(({ messages }) => messages[1]!.content.includes("{{Order Number}}")).length,
    ).toBeGreaterThan(100);
  });

  test("ABCD gives the converted replies", async (context) => {
    needsData(context);
    const { records } = await readEverything([join(DATA, "abcd/abcd_sample.json")], { unfold: "reply" });
    const theirs = (await converted("abcd_sample")).map(keyOfConverted).sort();
    expect(records.map(keyOfRecord).sort()).toEqual(theirs);
  });

  test("Taskmaster is read, MultiDoGO is refused with its reason", async (context) => {
    needsData(context);
    const { records, report } = await readEverything([join(DATA, "taskmaster4")]);
    expect([records.length, report.sources[0]?.replies, records[0]?.intent]).toEqual([210, 392, "Coffee"]);
    await expect(readEverything([join(DATA, "multidogo")])).rejects.toThrow(
      /MultiDoGO's annotated splits, which cannot be used: these files hold only the customers' turns/,
    );
  });

  test("one conversation a record and one reply a record hold the same replies", async (context) => {
    needsData(context);
    const whole = await readEverything([join(DATA, "sgd/dev")]);
    const single = await readEverything([join(DATA, "sgd/dev")], { unfold: "reply" });
    const replies = whole.report.sources.reduce((sum, source) => sum + source.replies, 0);
    expect([whole.records.length, replies]).toEqual([324, single.records.length]);
  });
});
