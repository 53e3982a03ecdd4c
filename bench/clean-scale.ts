/**
 * Cleaning at scale: replies a CPU second, peak memory and growth from 10,000 to 1,000,000 perturbed replies.
 * Run: npx tsx bench/clean-scale.ts [rows|conversations] [REPLIES…]; one process a size, so that peaks are its own.
 */
import { spawnSync } from "node:child_process";
import { cleaner } from "../src/data/clean/index.ts";
import { formatBytes, formatCount } from "../src/util/index.ts";
import { conversations, perturbed, realRows, repliesIn } from "./clean-corpus.ts";

interface Figures {
  readonly replies: number;
  readonly kept: number;
  readonly records: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly arrayBytes: number;
  readonly rejectedBy: Readonly<Record<string, number>>;
}

const BATCH = 500;

async function measure(layout: string, wanted: number): Promise<Figures> {
  const rows = await realRows();
  // For rows the perturbed dialogue is cut into its replies afterwards, so that histories agree.
  const source = perturbed(conversations(rows), 0.25, 1);
  const clean = cleaner();
  let [replies, records, cpu] = [0, 0, 0];
  while (replies < wanted) {
    const batch: Dialogue[] = [];
    for (let i = 0; i < BATCH && replies < wanted; i++) {
      const { value } = source.next();
      const made = layout === "rows" ? asRows(value) : [value];
      batch.push(...made);
      replies += repliesIn(made);
    }
    const fresh = batch.map((record) => JSON.parse(JSON.stringify(record)) as Dialogue);
    records += fresh.length;
    const begin = process.cpuUsage();
    for (const record of fresh) clean.process(record);
    const { user, system } = process.cpuUsage(begin);
    cpu += user + system;
  }
  const report = clean.finish();
  return {
    replies,
    records,
    kept: report.kept,
    cpuSeconds: cpu / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    arrayBytes: process.memoryUsage().arrayBuffers,
    rejectedBy: Object.fromEntries(
      report.rules.flatMap(({ name, rejected }) => (rejected > 0 ? [[name, rejected]] : [])),
    ),
  };
}

type Dialogue = ReturnType<typeof conversations>[number];

function asRows(record: Dialogue): readonly Dialogue[] {
  const rows: Dialogue[] = [];
  record.messages.forEach((message, index) => {
    if (message.role !== "assistant") return;
    const messages = record.messages
      .slice(0, index + 1)
      .map((earlier, i) =>
        i < index && earlier.role === "assistant" ? { ...earlier, supervised: false } : earlier,
      );
    rows.push({ ...record, messages, turn: index });
  });
  return rows;
}

async function main(): Promise<void> {
  const [layout = "conversations", ...sizes] = process.argv.slice(2);
  if (layout === "child") {
    const figures = await measure(sizes[0]!, Number(sizes[1]));
    console.log(JSON.stringify(figures));
    return;
  }
  const figures: Figures[] = [];
  for (const size of sizes.length > 0 ? sizes.map(Number) : [10_000, 100_000, 1_000_000]) {
    const child = spawnSync(
      process.execPath,
      [...process.execArgv, import.meta.filename, "child", layout, String(size)],
      {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const one = JSON.parse(child.stdout) as Figures;
    figures.push(one);
    console.log(
      `${layout} ${formatCount(one.replies)} replies (${formatCount(one.records)} records, ${formatCount(one.kept)} kept): ` +
        `${one.cpuSeconds.toFixed(1)} CPU s, ${formatCount(one.replies / one.cpuSeconds)} replies/CPU s, ` +
        `peak ${formatBytes(one.peakBytes)}, typed arrays ${formatBytes(one.arrayBytes)}; ${JSON.stringify(one.rejectedBy)}`,
    );
  }
  const [first, last] = [figures[0]!, figures.at(-1)!];
  if (figures.length > 1) {
    const exponent = Math.log(last.cpuSeconds / first.cpuSeconds) / Math.log(last.replies / first.replies);
    console.log(`time grows with replies to the power of ${exponent.toFixed(2)}`);
  }
}

void main();
