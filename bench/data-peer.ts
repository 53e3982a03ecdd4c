/**
 * Side by side in one run: a plain Python script (json, re, scikit-learn's train_test_split) and datasketch against
 * `attune data prepare`: time, memory, results.
 *
 *     npx tsx bench/data-peer.ts [--python python3] [--corpora sgd,crosswoz,bitext]
 *
 * The Python needs scikit-learn and datasketch.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { cleaner, SEED_CONFIG } from "../src/data/clean/index.ts";
import { type DataConfigInput, prepareDataset, readSources } from "../src/data/index.ts";
import { SPLITS, groupLabels, splitConversations, stratificationError } from "../src/data/shape/index.ts";
import { formatBytes, formatCount, formatPercent } from "../src/util/index.ts";
import { sharedData } from "./data-corpus.ts";
import { loadAverage, peakBytes } from "./machine.ts";

interface PeerSteps {
  readonly rows: number;
  readonly kept: number;
  readonly splits: readonly number[];
  readonly maxIntentShare: number;
  readonly leaks: number;
  readonly heldConversations: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly byConversation: { readonly [S in (typeof SPLITS)[number]]: readonly string[] };
}

interface PeerNear {
  readonly duplicates: readonly number[];
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const run = promisify(execFile);
const print = (line: string): unknown => process.stdout.write(`${line}\n`);

async function python<T>(interpreter: string, ...args: readonly string[]): Promise<T> {
  const script = join(import.meta.dirname, "peer", "seed_steps.py");
  const { stdout } = await run(interpreter, [script, ...args], { maxBuffer: 1 << 28 });
  return JSON.parse(stdout) as T;
}

/** In a process of its own, as the script is. */
async function ours(corpus: string, out: string, clean: "seed" | "default"): Promise<Record<string, number>> {
  const { stdout } = await run(
    process.execPath,
    ["--import", "tsx", import.meta.filename, "--run", corpus, "--out", out, "--clean", clean],
    { maxBuffer: 1 << 24 },
  );
  return JSON.parse(stdout) as Record<string, number>;
}

async function runOurs(corpus: string, out: string, clean: string): Promise<void> {
  const started = performance.now();
  const config: DataConfigInput = {
    sources: [corpus],
    out,
    ...(clean === "seed" ? { clean: SEED_CONFIG } : {}),
  };
  const { manifest } = await prepareDataset(config);
  const { user, system } = process.cpuUsage();
  const { dialogueId, conversation, nearDuplicate } = manifest.leaks;
  const { train, validation, test } = manifest.splits;
  print(
    JSON.stringify({
      seconds: (performance.now() - started) / 1000,
      cpuSeconds: (user + system) / 1e6,
      peakBytes: peakBytes(),
      kept: manifest.rows.kept,
      train: train.examples,
      validation: validation.examples,
      test: test.examples,
      maxIntentShare: manifest.maxIntentShare,
      leaks: dialogueId + conversation + nearDuplicate,
    }),
  );
}

async function compare(name: string, corpus: string, interpreter: string, folder: string): Promise<void> {
  const peer = await python<PeerSteps>(interpreter, corpus, join(folder, `${name}-peer`));
  print(`\n${name}: ${formatCount(peer.rows)} rows (load ${loadAverage()})`);
  const line = (who: string, m: Record<string, number>, splits: readonly number[], leaks: string): unknown =>
    print(
      `  ${who.padEnd(26)} ${m["seconds"]!.toFixed(1).padStart(6)} s, ${m["cpuSeconds"]!.toFixed(1)} s CPU, peak ${formatBytes(m["peakBytes"]!)}; ` +
        `kept ${formatCount(m["kept"]!)}, splits ${splits.map(formatCount).join("/")}, largest intent ${formatPercent(m["maxIntentShare"]!, 1)}, ${leaks}`,
    );
  const { seconds, cpuSeconds, peakBytes, kept, maxIntentShare } = peer;
  line(
    "plain script",
    { seconds, cpuSeconds, peakBytes, kept, maxIntentShare },
    peer.splits,
    `${formatCount(peer.leaks)} of ${formatCount(peer.heldConversations)} held-out conversations are in train too`,
  );
  for (const clean of ["seed", "default"] as const) {
    const m = await ours(corpus, join(folder, `${name}-${clean}`), clean);
    line(`attune, ${clean} rules`, m, [m["train"]!, m["validation"]!, m["test"]!], `${m["leaks"]} leaks`);
  }
  await compareStratification(corpus, peer);
  await compareNear(corpus, interpreter, folder);
}

async function compareStratification(corpus: string, peer: PeerSteps): Promise<void> {
  const ids = new Map<string, number>();
  const intents = new Map<string, number>();
  const pairs: [number, number][] = [];
  const number = (names: Map<string, number>, key: string): number => {
    if (!names.has(key)) names.set(key, names.size);
    return names.get(key)!;
  };
  for await (const result of readSources([corpus])) {
    if (result.kind === "record") {
      pairs.push([number(ids, result.record.dialogueId), number(intents, result.record.intent ?? "")]);
    }
  }
  const groups = groupLabels(
    Uint32Array.from(pairs, ([id]) => id),
    Uint32Array.from(pairs, ([, intent]) => intent),
    ids.size,
    intents.size,
  );
  const fractions = [0.8, 0.1, 0.1];
  const { splitOf } = splitConversations(groups, {
    fractions: { train: 0.8, validation: 0.1, test: 0.1 },
    seed: 42,
  });
  const theirs = new Uint8Array(ids.size);
  for (const [j, split] of SPLITS.entries()) {
    for (const id of peer.byConversation[split]) theirs[ids.get(id)!] = j;
  }
  print(
    `  stratification error over ${intents.size} intents, whole conversations: attune ${formatPercent(stratificationError(groups, splitOf, fractions), 1)}, ` +
      `train_test_split by main intent ${formatPercent(stratificationError(groups, theirs, fractions), 1)}`,
  );
}

async function compareNear(corpus: string, interpreter: string, folder: string): Promise<void> {
  const peer = await python<PeerNear>(interpreter, corpus, folder, "--near");
  const before = process.cpuUsage();
  const started = performance.now();
  const near = cleaner({}, {}, ["nearDuplicates"]);
  const found: number[] = [];
  for await (const result of readSources([corpus])) {
    if (result.kind === "record" && near.process(result.record).kind === "rejected") {
      found.push(result.record.source.line!);
    }
  }
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  const theirs = new Set(peer.duplicates);
  const common = found.filter((line) => theirs.has(line)).length;
  print(
    `  near-duplicates: attune ${formatCount(found.length)} in ${seconds.toFixed(1)} s (${((user + system) / 1e6).toFixed(1)} s CPU, verified), ` +
      `datasketch ${formatCount(peer.duplicates.length)} in ${peer.seconds.toFixed(1)} s (${peer.cpuSeconds.toFixed(1)} s CPU, estimated); ${formatCount(common)} in both`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      python: { type: "string", default: "python3" },
      corpora: { type: "string", default: "sgd,crosswoz,bitext" },
      run: { type: "string" },
      out: { type: "string" },
      clean: { type: "string", default: "default" },
    },
  });
  if (values.run !== undefined && values.out !== undefined) {
    await runOurs(values.run, values.out, values.clean);
    return;
  }
  const shared = sharedData();
  if (shared === undefined) throw new Error("the real dialogues (../shared/data) are missing");
  const folder = await mkdtemp(join(tmpdir(), "attune-peer-"));
  try {
    for (const name of values.corpora.split(",")) {
      await compare(name, join(shared, `${name}.train.jsonl.gz`), values.python, folder);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
