/** `attune metrics` on files: alignment, formats, and errors that say what to do. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { type MetricsResult, metricsCommand } from "./metrics.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-metrics-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

const file = async (name: string, content: string | Uint8Array): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
};

async function run(...args: string[]): Promise<string> {
  const out: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => out.push(String(text)) > 0);
  await metricsCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .parseAsync(args, { from: "user" });
  return out.join("");
}

const json = async (...args: string[]): Promise<MetricsResult> =>
  JSON.parse(await run(...args, "--samples", "50", "--json")) as MetricsResult;

it("scores lines, with empty replies counted, and prints a table", async () => {
  const references = await file("r.txt", "Your order has shipped today.\nYes.\n您的订单已发货。\n");
  const predictions = await file("p.txt", "Your order has shipped today.\r\n\r\n您的订单已经发货。\r\n");
  const { systems } = await json("--references", references, "--predictions", predictions, "--variants");
  expect(systems[0]!.metrics).toMatchObject({ count: 3, empty: 1, exact: 1 / 3, language: "zh" });
  expect(systems[0]!.variants).toContainEqual(expect.objectContaining({ name: "swift-char", counted: 2 }));
  const text = await run("--references", references, "--predictions", predictions, "--samples", "50");
  expect(text).toMatch(/replies +3 {2}1 empty, scored 0/);
  expect(text).toMatch(/BLEU-4 +\d+\.\d\d {2}95 %: /);
  expect(text).toContain("tok:zh");
});

it("reads JSON lines with several references, packed or not, U+2028 inside, and compares systems", async () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({
    id: i,
    references: [`reply number ${i} is here`, "另一个"],
  }));
  const references = await file("r.jsonl.gz", gzipSync(rows.map((row) => JSON.stringify(row)).join("\n")));
  const weak = await file(
    "weak.jsonl",
    rows.map((row) => JSON.stringify({ id: row.id, prediction: "no" })).join("\n"),
  );
  const strong = await file(
    "strong.jsonl",
    `\uFEFF${rows.map((row) => JSON.stringify({ id: row.id, prediction: `${row.references[0]}\u2028` })).join("\n\n")}\n`,
  );
  const { systems } = await json("--references", references, "--predictions", weak, strong);
  expect(systems[1]!.metrics.bleu4.score).toBeCloseTo(100, 6);
  expect(systems[1]!.metrics.signatures.bleu).toContain("nrefs:2");
  expect(systems[1]!.comparison!.bleu4.pValue).toBeLessThan(0.05);
});

it.each([
  ["different line counts", "a\nb\n", "a\n", /r\.txt has 2 lines but .*p\.txt has 1/],
  ["no lines", "", "", /r\.txt holds no lines/],
  ["a line that is not JSON", "a\n", '{"prediction": "a"}\n{nope\n', /not valid JSON: \{nope \(.*p\.txt:2/],
  ["a missing field", "a\n", '{"text": "a"}\n', /no text in .*p\.txt:1.*`prediction`, `predict`, `response`/],
  ["a reply that is null", "a\n", '{"prediction": null}\n', /`prediction` is null; it must be a text/],
  ["two replies in one record", "a\n", '{"prediction": ["a", "b"]}\n', /holds 2 predictions/],
  [
    "another order of ids",
    '{"id": 1, "response": "a"}',
    '{"id": 2, "response": "a"}',
    /the id "1" in .* but "2" in/,
  ],
  ["an endless line", "a\n", "x".repeat(20_001), /a text of 20001 characters; at most 20000/],
])("refuses %s", async (_, references, predictions, message) => {
  const [r, p] = [await file("r.txt", references), await file("p.txt", predictions)];
  await expect(run("--references", r, "--predictions", p)).rejects.toThrow(message);
});

it("names a file that is not there, a folder, and a broken archive", async () => {
  const there = await file("there.txt", "a\n");
  const broken = await file("broken.jsonl.gz", "not gzip");
  for (const [path, message] of [
    [join(folder, "missing.txt"), /the predictions .*missing\.txt does not exist/],
    [folder, /is a folder, not a file/],
    [broken, /cannot read .*broken\.jsonl\.gz/],
  ] as const) {
    await expect(run("--references", there, "--predictions", path)).rejects.toThrow(message);
  }
});

it("refuses unknown choices", async () => {
  const there = await file("there.txt", "a\n");
  const pair = ["--references", there, "--predictions", there];
  await expect(run(...pair, "--tokenizer", "14a")).rejects.toThrow("Allowed choices are 13a, zh, char");
  await expect(run(...pair, "--samples", "3.5")).rejects.toThrow("whole number from 10");
});
