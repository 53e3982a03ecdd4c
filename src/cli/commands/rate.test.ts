/** `attune rate results`, `export` and `import` on a study, and the command's own errors. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { type Prediction, type RatingResults, openStudy } from "../../judge/rate/index.ts";
import { rateCommand } from "./rate.ts";

afterEach(() => vi.restoreAllMocks());

async function run(...args: string[]): Promise<string> {
  const out: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => out.push(String(text)) > 0);
  const command = rateCommand()
    .configureOutput({ writeErr: () => {} })
    .exitOverride();
  for (const inner of command.commands) inner.configureOutput({ writeErr: () => {} }).exitOverride();
  await command.parseAsync(args, { from: "user" });
  return out.join("");
}

const predictions: readonly Prediction[] = Array.from({ length: 24 }, (_, i) => ({
  id: `prompt-${i >> 1}`,
  dialogue_id: `dialogue-${i >> 1}`,
  context: [{ role: "user", content: `Where is order ${i >> 1}?` }],
  reference: `Order ${i >> 1} arrives tomorrow.`,
  system: i % 2 === 0 ? "base" : "tuned",
  prediction: i % 2 === 0 ? "No idea." : `Order ${i >> 1} arrives soon.`,
}));

/** A study that each of `names` finished; the length of a name decides how it rates. */
async function rated(path: string, names: readonly string[]): Promise<void> {
  const study = await openStudy(path, predictions, { overlap: 1 });
  for (const rater of names) {
    const at = { rater, tab: "tab-one-1" };
    for (let now = study.seat(at).assignment; now !== undefined; now = study.seat(at).assignment) {
      const [fluency, relevance] = [rater.length % 4, rater.length % 4];
      await study.rate(at, { rater, key: now.key, revision: now.revision, fluency, relevance, safety: 1 });
    }
  }
  await study.close();
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "attune-rate-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

it("prints results for people and for programs, and says what is too few", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "ratings.jsonl");
    await rated(path, ["Anna", "Ben", "Cleo-"]);
    const text = await run("results", path);
    expect(text).toContain("72 ratings of 24 replies to 12 prompts by 3 raters");
    expect(text).toMatch(/tuned +36 {2}1\.33 \(\d\.\d\d–\d\.\d\d\)/);
    expect(text).toContain('too few: means of "base": rated prompts: 12, at least 30 are needed');
    expect(text).toMatch(/Ben +24 ratings, mean overall 6\.00, \+\d/);
    const pairs = join(folder, "pairs.jsonl");
    const results = JSON.parse(await run("results", path, "--json", "--preferences", pairs)) as RatingResults;
    expect(results).toMatchObject({ ratings: 72, replies: 24 });
    expect(await readFile(pairs, "utf8")).toBe("");
  });
});

it("exports and imports, and the two give the same results", async () => {
  await inFolder(async (folder) => {
    const [here, there, out] = ["here.jsonl", "there.jsonl", "out.jsonl"].map((name) => join(folder, name));
    await rated(here!, ["Anna"]);
    await rated(there!, ["Ben"]);
    expect(await run("export", there!, "--out", out!)).toContain("24 ratings written");
    expect(await run("import", here!, "--from", out!)).toContain("24 ratings added, 0 were here already");
    expect(await run("import", here!, "--from", there!)).toContain("0 ratings added, 24 were here already");
    await run("export", here!, "--out", out!);
    expect(await run("results", out!)).toBe(await run("results", here!));
  });
});

it("refuses what it cannot read, with the next step", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "x.jsonl");
    await expect(run("results", path)).rejects.toThrow(/the ratings file .*x\.jsonl does not exist/);
    await writeFile(path, '{"rater":"Anna"}\n');
    await expect(run("results", path)).rejects.toThrow(/x\.jsonl:1/);
    await expect(run(path, "--overlap", "2")).rejects.toThrow("number from 0 to 1");
    await expect(run(path)).rejects.toThrow(/`id`.*x\.jsonl:1/);
    await expect(run("export", path)).rejects.toThrow("--out");
  });
});
