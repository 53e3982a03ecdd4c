/** Lines of text files: ends, marks, packing, chunks that cut characters, and what is refused. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readJsonLines } from "./jsonl.ts";
import { readTextLines } from "./text-lines.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-lines-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function lines(content: string | Uint8Array, name = "lines.txt"): Promise<string[]> {
  const path = join(folder, name);
  await writeFile(path, content);
  const texts: string[] = [];
  for await (const { text, line } of readTextLines(path, "the lines")) expect(texts.push(text)).toBe(line);
  return texts;
}

it("ends lines at \\n alone, drops \\r before it and a byte-order mark in front", async () => {
  expect(await lines("\uFEFFa\r\nb\u2028c\rd\n\n\uFEFFe")).toEqual(["a", "b\u2028c\rd", "", "\uFEFFe"]);
  expect(await lines("a\n")).toEqual(["a"]);
  expect(await lines("")).toEqual([]);
});

it("reads packed files, and lines longer than a chunk whose characters chunks cut", async () => {
  const long = "订单🫖".repeat(100_000);
  expect(await lines(`x${long}\n${long}`)).toEqual([`x${long}`, long]);
  expect(await lines(gzipSync("一\n二"), "lines.txt.gz")).toEqual(["一", "二"]);
});

it("names the line that is not UTF-8, a line without end, a broken archive, a file that is not there", async () => {
  const latin = Buffer.from("ok\ncaf\u00e9\n", "latin1");
  await expect(lines(latin)).rejects.toThrow(/^not valid UTF-8 \(.*lines\.txt:2\)\. Save the file as UTF-8/);
  await expect(lines(Buffer.alloc(10_000_001, 120))).rejects.toThrow(/more than 10000000 bytes \(.*:1\)/);
  await expect(lines(gzipSync("a\nb").subarray(0, 15), "cut.gz")).rejects.toThrow(/cannot read .*cut\.gz/);
  const missing = readTextLines(join(folder, "missing"), "the lines");
  await expect(missing.next()).rejects.toThrow(/the lines .*missing does not exist/);
});

it("JSON lines are the same lines, blank ones left out", async () => {
  const path = join(folder, "rows.jsonl");
  await writeFile(path, '{"a":1}\n\n  \n{"a":"\u2028"}');
  const values: unknown[] = [];
  for await (const row of readJsonLines(path)) values.push(row);
  expect(values).toEqual([
    { value: { a: 1 }, line: 1 },
    { value: { a: "\u2028" }, line: 4 },
  ]);
  await writeFile(path, Buffer.from('{"a":"\u00e9"}', "latin1"));
  await expect(readJsonLines(path).next()).rejects.toThrow(/not valid UTF-8 .*rows\.jsonl:1/);
});
