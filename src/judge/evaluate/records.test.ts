/** Records on disk: what a kill leaves, what is set aside and comes back, and that nothing stands twice. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type RecordKey, earlierPath, openRecords } from "./records.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-records-"));
  path = join(folder, "predictions.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const record = (id: string, fingerprint = "a", system = "base"): RecordKey => ({ id, system, fingerprint });
const ofSettings =
  (fingerprint: string, systems: readonly string[] = ["base"]) =>
  (found: RecordKey): boolean =>
    found.fingerprint === fingerprint && systems.includes(found.system);

async function withRecords(
  wanted: (found: RecordKey) => boolean,
  add: readonly RecordKey[] = [],
): Promise<{ readonly ids: readonly string[]; readonly setAside: number }> {
  await using records = await openRecords(path, wanted);
  const { setAside } = records;
  for (const one of add) await records.append(one);
  return { ids: records.all().map(({ id }) => id), setAside };
}

const read = async (file: string): Promise<string[]> =>
  (await readFile(file, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");

it("keeps what was appended, refuses a second of one key, and drops a torn end", async () => {
  await withRecords(ofSettings("a"), [record("1"), record("2")]);
  await appendFile(path, '{"id":"3","system":"base","finger');
  expect(await withRecords(ofSettings("a"), [record("3")])).toEqual({ ids: ["1", "2", "3"], setAside: 0 });
  expect(await read(path)).toHaveLength(3);
  await using records = await openRecords(path, ofSettings("a"));
  await expect(records.append(record("3"))).rejects.toThrow("is there already");
});

it("drops lines that stand twice and lines that are no records", async () => {
  const line = `${JSON.stringify(record("1"))}\n`;
  await writeFile(path, `${line}${line}null\n{}\nnot json\n${line}`);
  expect((await withRecords(ofSettings("a"))).ids).toEqual(["1"]);
  expect(await read(path)).toHaveLength(1);
});

it("sets aside what other settings or systems answered, and takes it back when they are asked for again", async () => {
  const both = ["base", "tuned"];
  await withRecords(ofSettings("a", both), [record("1"), record("1", "a", "tuned")]);
  expect(await withRecords(ofSettings("b"), [record("1", "b")])).toEqual({ ids: ["1"], setAside: 2 });
  expect(await read(path)).toHaveLength(1);
  expect(await read(earlierPath(path))).toHaveLength(2);
  // One system alone, then both again: nothing has to be computed anew.
  expect((await withRecords(ofSettings("a"))).ids).toEqual(["1"]);
  expect((await withRecords(ofSettings("a", both))).ids).toEqual(["1", "1"]);
  expect(await read(earlierPath(path))).toEqual([JSON.stringify(record("1", "b"))]);
});

it("a kill between the two files costs nothing and doubles nothing", async () => {
  await withRecords(ofSettings("a"), [record("1"), record("2")]);
  const full = await readFile(path, "utf8");
  await withRecords(ofSettings("b"));
  expect(await read(path)).toEqual([]);
  // As if the second rename had not come: the records stand in both files.
  await writeFile(path, full);
  expect((await withRecords(ofSettings("a"), [record("3")])).ids).toEqual(["1", "2", "3"]);
  expect(await read(path)).toHaveLength(3);
  expect(await read(earlierPath(path))).toEqual([]);
});

it("names the file of earlier records beside its own", () => {
  expect(earlierPath("a.b/predictions.jsonl")).toBe("a.b/predictions.earlier.jsonl");
  expect(earlierPath("a/records")).toBe("a/records.earlier");
});
