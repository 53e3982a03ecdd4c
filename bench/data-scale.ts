/**
 * `attune data prepare` from 10,000 to 1,000,000 replies: time, replies a second, peak memory, growth exponent.
 *
 *     npx tsx bench/data-scale.ts [--sizes 10000,100000,1000000] [--layout messages|native] [--keep FOLDER]
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { prepareDataset } from "../src/data/index.ts";
import { formatBytes, formatCount } from "../src/util/index.ts";
import { type CorpusLayout, generateCorpus, sharedData } from "./data-corpus.ts";

interface Measured {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly phases: Readonly<Record<string, number>>;
  readonly read: number;
  readonly kept: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly leaks: number;
}

/** One preparation, alone in its process so that its peak memory is its own. */
async function measure(corpus: string, out: string): Promise<Measured> {
  const started = performance.now();
  const phases: Record<string, number> = {};
  let since = started;
  const { manifest } = await prepareDataset(
    { sources: [corpus], out },
    {
      onProgress: ({ phase, fraction }) => {
        if (fraction !== 1) return;
        phases[phase] = (phases[phase] ?? 0) + (performance.now() - since) / 1000;
        since = performance.now();
      },
    },
  );
  const { user, system } = process.cpuUsage();
  const { dialogueId, conversation, nearDuplicate } = manifest.leaks;
  return {
    wallSeconds: (performance.now() - started) / 1000,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    phases,
    read: manifest.rows.read,
    kept: manifest.rows.kept,
    rejected: manifest.rejected,
    leaks: dialogueId + conversation + nearDuplicate,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sizes: { type: "string", default: "10000,30000,100000,300000,1000000" },
      layout: { type: "string", default: "messages" },
      keep: { type: "string" },
      run: { type: "string" },
      out: { type: "string" },
    },
  });
  if (values.run !== undefined && values.out !== undefined) {
    process.stdout.write(`${JSON.stringify(await measure(values.run, values.out))}\n`);
    return;
  }
  const shared = sharedData();
  if (shared === undefined) throw new Error("the real dialogues (../shared/data) are missing");
  const folder = values.keep ?? (await mkdtemp(join(tmpdir(), "attune-scale-")));
  await mkdir(folder, { recursive: true });
  process.stdout.write(
    `${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)}, layout ${values.layout}\n`,
  );
  const points: { readonly replies: number; readonly wall: number; readonly cpu: number }[] = [];
  try {
    for (const size of values.sizes.split(",").map(Number)) {
      const corpus = join(folder, `${values.layout}-${size}.jsonl`);
      if ((await stat(corpus).catch(() => undefined)) === undefined) {
        await generateCorpus(shared, corpus, size, { layout: values.layout as CorpusLayout, seed: 1 });
      }
      const { size: bytes } = await stat(corpus);
      const out = join(folder, `set-${size}`);
      const child = await promisify(execFile)(
        process.execPath,
        ["--import", "tsx", import.meta.filename, "--run", corpus, "--out", out],
        { maxBuffer: 1 << 24 },
      );
      const m = JSON.parse(child.stdout) as Measured;
      await rm(out, { recursive: true });
      points.push({ replies: size, wall: m.wallSeconds, cpu: m.cpuSeconds });
      const phases = Object.entries(m.phases).map(([phase, seconds]) => `${phase} ${seconds.toFixed(1)}`);
      process.stdout.write(
        `${formatCount(size).padStart(10)} replies (${formatBytes(bytes)}, ${formatCount(m.read)} rows): ` +
          `${m.wallSeconds.toFixed(1)} s wall, ${m.cpuSeconds.toFixed(1)} s CPU, ` +
          `${formatCount(size / m.wallSeconds)} replies/s (${formatCount((2 * size) / m.cpuSeconds)} by CPU time of 2 cores), ` +
          `peak ${formatBytes(m.peakBytes)}, kept ${formatCount(m.kept)}, ${m.leaks} leaks\n` +
          `           ${phases.join(" · ")} s; rejected ${JSON.stringify(m.rejected)}\n`,
      );
    }
    if (points.length > 1) {
      process.stdout.write(
        `time ~ replies^${exponent(points.map(({ replies, wall }) => [replies, wall])).toFixed(2)} (wall), ` +
          `^${exponent(points.map(({ replies, cpu }) => [replies, cpu])).toFixed(2)} (CPU)\n`,
      );
    }
  } finally {
    if (values.keep === undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** Slope of the least-squares line through the logarithms. */
function exponent(points: readonly (readonly [size: number, seconds: number])[]): number {
  const logs = points.map(([size, seconds]) => [Math.log(size), Math.log(seconds)] as const);
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(logs.map(([x]) => x)), mean(logs.map(([, y]) => y))];
  const covariance = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return covariance / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

await main();
