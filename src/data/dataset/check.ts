/** Proves a data set again from its files: hashes, counts, every line, and that nothing leaks across splits. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { sha256OfFile } from "../../util/index.ts";
import { SPLITS } from "../shape/index.ts";
import { type LeakReport, checkLeaks } from "./leaks.ts";
import { REJECTED_FILE } from "./manifest.ts";
import { type Dataset, openDataset } from "./open.ts";

export interface DatasetCheck {
  readonly leaks: LeakReport;
  /** Sentences on whatever is not as dataset.json says; empty when all is well. */
  readonly problems: readonly string[];
}

/** Reads everything. Broken lines are `UserError`s with their place. */
export async function checkDataset(folder: string, onExample?: () => void): Promise<DatasetCheck> {
  const dataset = await openDataset(folder);
  const problems: string[] = [];
  const { manifest } = dataset;
  for (const split of SPLITS) {
    const section = manifest.splits[split];
    if ((await sha256OfFile(join(folder, section.file))) !== section.sha256) {
      problems.push(`${section.file} is not the file that was written: its hash differs from dataset.json`);
    }
  }
  problems.push(...(await rejectedProblems(dataset)));
  const counted = { train: 0, validation: 0, test: 0 };
  const leaks = await checkLeaks(async function* (split) {
    for await (const example of dataset.examples(split)) {
      counted[split] += 1;
      yield example;
    }
  }, onExample);
  for (const split of SPLITS) {
    const { examples, file } = manifest.splits[split];
    if (counted[split] !== examples) {
      problems.push(`${file} has ${counted[split]} examples; dataset.json says ${examples}`);
    }
  }
  const { read, kept, rejected } = manifest.rows;
  if (read !== kept + rejected) problems.push(`${read} rows read, but ${kept} kept and ${rejected} rejected`);
  const { dialogueId, conversation, nearDuplicate } = leaks.counts;
  const total = dialogueId + conversation + nearDuplicate;
  if (total > 0) problems.push(`${total} leaks between the splits`);
  return { leaks, problems };
}

async function rejectedProblems({ folder, manifest }: Dataset): Promise<string[]> {
  const path = join(folder, REJECTED_FILE);
  if ((await stat(path).catch(() => undefined)) === undefined) return [`${REJECTED_FILE} is missing`];
  if ((await sha256OfFile(path)) === manifest.rejectedFile.sha256) return [];
  return [`${REJECTED_FILE} is not the file that was written: its hash differs from dataset.json`];
}

export interface DatasetDiff {
  /** Per split: examples that stand in both, in the first alone, in the second alone (copies counted). */
  readonly examples: {
    readonly [S in (typeof SPLITS)[number]]: {
      readonly both: number;
      readonly first: number;
      readonly second: number;
    };
  };
  /** Figures that differ: dotted key, first, second. */
  readonly figures: readonly { readonly key: string; readonly first: unknown; readonly second: unknown }[];
}

/** Compares two data sets: their lines, and the settings and counts of their manifests. */
export async function diffDatasets(first: string, second: string): Promise<DatasetDiff> {
  const [a, b] = [await openDataset(first), await openDataset(second)];
  const compared: [string, { both: number; first: number; second: number }][] = [];
  for (const split of SPLITS) {
    compared.push([split, await compareLines(join(first, `${split}.jsonl`), join(second, `${split}.jsonl`))]);
  }
  const [x, y] = [figures(a.manifest), figures(b.manifest)];
  const keys = [...new Set([...x.keys(), ...y.keys()])];
  return {
    examples: Object.fromEntries(compared) as DatasetDiff["examples"],
    figures: keys
      .filter((key) => JSON.stringify(x.get(key)) !== JSON.stringify(y.get(key)))
      .map((key) => ({ key, first: x.get(key), second: y.get(key) })),
  };
}

/** What is compared of a manifest: settings, sources and counts; not examples, notes and hashes of splits. */
function figures(manifest: Dataset["manifest"]): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) found.set(path, value);
    else for (const [key, part] of Object.entries(value)) walk(part, path === "" ? key : `${path}.${key}`);
  };
  walk(
    { seed: manifest.seed, config: manifest.config, rows: manifest.rows, rejected: manifest.rejected },
    "",
  );
  for (const source of manifest.sources) {
    walk({ sha256: source.sha256, rowsRead: source.rowsRead }, `sources.${source.name}`);
  }
  for (const split of SPLITS) {
    const { examples, conversations, replies, intents } = manifest.splits[split];
    walk({ examples, conversations, replies, intents }, `splits.${split}`);
  }
  walk({ maxIntentShare: manifest.maxIntentShare, leaks: manifest.leaks }, "");
  return found;
}

async function compareLines(
  first: string,
  second: string,
): Promise<{ both: number; first: number; second: number }> {
  const counts = new Map<string, number>();
  let firstLines = 0;
  for await (const line of lines(first)) {
    counts.set(line, (counts.get(line) ?? 0) + 1);
    firstLines += 1;
  }
  let both = 0;
  let secondLines = 0;
  for await (const line of lines(second)) {
    secondLines += 1;
    const left = counts.get(line) ?? 0;
    if (left === 0) continue;
    counts.set(line, left - 1);
    both += 1;
  }
  return { both, first: firstLines - both, second: secondLines - both };
}

/** Short hashes of the lines: equal lines are equal, and a million of them fit in memory. */
async function* lines(path: string): AsyncGenerator<string> {
  const reader = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of reader) {
    if (line !== "") yield createHash("sha256").update(line).digest("base64").slice(0, 16);
  }
}
