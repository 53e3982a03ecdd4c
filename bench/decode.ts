/** Generation of Attune and of node-llama-cpp on the same model and prompts, in turn: first token, tokens/s, memory. */
import { execFile } from "node:child_process";
import { access, mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Command } from "commander";
import { openChatModel } from "../src/model/index.ts";
import { UserError, errorMessage, formatBytes, readJsonLines, writeFileAtomic } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, median, processorName } from "./machine.ts";
import { type Answer, type Side, type SideOptions, startSide } from "./turns.ts";

interface Flags {
  readonly model: string;
  readonly peerModel?: string;
  readonly peer: boolean;
  readonly text: string;
  readonly prompt: number;
  readonly newTokens: number;
  readonly sequences: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly json?: boolean;
}

const repository = join(import.meta.dirname, "..");
const cache = join(repository, ".cache", "bench");
const llamaVersion = "3.22.1";

export function decodeCommand(): Command {
  return new Command("decode")
    .description("generation of Attune beside node-llama-cpp, which is installed under .cache on demand")
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .option("--peer-model <file>", "the .gguf for the peer; default: --model")
    .option("--no-peer", "Attune alone")
    .option(
      "--text <file>",
      "JSON lines that prompts are cut from",
      join(repository, "assets/quickstart/train.jsonl"),
    )
    .option("--prompt <n>", "tokens of a prompt", count, 100)
    .option("--new-tokens <n>", "tokens generated after it", count, 128)
    .option("--sequences <n>", "sequences of the batched measurement", count, 16)
    .option("--rounds <n>", "measured rounds, after one to warm up", count, 5)
    .option("--threads <n>", "threads of each side; default: the processors at hand", count)
    .option("--json", "print one line of JSON")
    .action(decode);
}

type Started = Side & { readonly ready: Answer };

async function decode(flags: Flags): Promise<void> {
  const threads = flags.threads ?? availableParallelism();
  const { sequences, newTokens } = flags;
  const prompts = join(cache, "decode-prompts.json");
  await writeFileAtomic(
    prompts,
    JSON.stringify(await promptsFrom(flags.model, flags.text, flags.prompt, sequences)),
  );
  const { sides: wanted, skipped } = await sidesOf(flags, prompts, threads);
  const sides: Started[] = [];
  try {
    for (const side of wanted) sides.push(await startSide(side));
    const requests = {
      one: { do: "generate", sequences: 1, newTokens },
      many: { do: "generate", sequences, newTokens },
      prefill: { do: "prefill", tokens: Math.min(512, flags.prompt * sequences) },
    } as const;
    const rounds: { readonly [K in keyof typeof requests]: Answer }[][] = [];
    for (let round = 0; round <= flags.rounds; round++) {
      const answers = sides.map(() => ({}) as { -readonly [K in keyof typeof requests]: Answer });
      for (const name of Object.keys(requests) as (keyof typeof requests)[])
        for (const [index, side] of sides.entries()) answers[index]![name] = await side.ask(requests[name]);
      if (round > 0) rounds.push(answers);
    }
    const peaks: number[] = [];
    for (const side of sides) peaks.push(Number((await side.ask({ do: "peak" }))["peakBytes"]));
    const measured = sides.map((side, index) => {
      const middle = (name: keyof typeof requests, key: string): number =>
        median(rounds.map((round) => Number(round[index]![name][key])));
      return {
        name: side.name,
        version: String(side.ready["version"]),
        firstTokenSeconds: middle("one", "firstTokenSeconds"),
        decodeTokensPerSecond: middle("one", "decodeTokensPerSecond"),
        batchDecodeTokensPerSecond: middle("many", "decodeTokensPerSecond"),
        prefillTokensPerSecond: middle("prefill", "tokensPerSecond"),
        peakBytes: peaks[index]!,
        tokens: rounds[0]![index]!.one["tokens"] as readonly number[],
      };
    });
    report(flags, threads, measured, skipped);
  } finally {
    for (const side of sides) await side.close();
  }
}

interface Measured {
  readonly name: string;
  readonly version: string;
  readonly firstTokenSeconds: number;
  readonly decodeTokensPerSecond: number;
  readonly batchDecodeTokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
  readonly peakBytes: number;
  readonly tokens: readonly number[];
}

function report(
  flags: Flags,
  threads: number,
  measured: readonly Measured[],
  skipped: string | undefined,
): void {
  const [attune] = measured;
  const agreeing = (tokens: readonly number[]): number => {
    const differs = tokens.findIndex((token, i) => token !== attune!.tokens[i]);
    return differs < 0 ? tokens.length : differs;
  };
  const sides = measured.map(({ tokens, ...side }) => ({ ...side, sameFirstTokens: agreeing(tokens) }));
  const result = {
    bench: "decode",
    processor: processorName(),
    threads,
    loadAverage: loadAverage(),
    sequences: flags.sequences,
    promptTokens: flags.prompt,
    newTokens: flags.newTokens,
    sides,
    ...(skipped === undefined ? {} : { skipped }),
  };
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const lines = [
    `decode: ${flags.prompt} + ${flags.newTokens} tokens, ${flags.rounds} rounds in turn; ${result.processor}, ${threads} threads, load ${result.loadAverage}`,
    ...sides.map(
      (side) =>
        `${side.name.padEnd(16)} first token ${(1000 * side.firstTokenSeconds).toFixed(0).padStart(5)} ms  1 sequence ${side.decodeTokensPerSecond.toFixed(1).padStart(6)} tokens/s  ${flags.sequences} sequences ${side.batchDecodeTokensPerSecond.toFixed(1).padStart(6)}  prefill ${side.prefillTokensPerSecond.toFixed(0).padStart(6)}  peak ${formatBytes(side.peakBytes)}${side.name === "attune" ? "" : `  (${side.version}; the first ${side.sameFirstTokens} tokens are the same)`}`,
    ),
    ...(skipped === undefined ? [] : [`no peer: ${skipped}`]),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function promptsFrom(model: string, text: string, length: number, count: number): Promise<number[][]> {
  const chat = await openChatModel(model);
  try {
    const ids: number[] = [];
    for await (const { value } of readJsonLines(text)) {
      ids.push(...chat.renderer.tokenizer.encode(`${String((value as { response?: unknown }).response)}\n`));
      if (ids.length >= length * count) break;
    }
    if (ids.length < length * count)
      throw new UserError(`${text} gives ${ids.length} tokens; ${length * count} are needed`);
    return Array.from({ length: count }, (_, i) => ids.slice(i * length, (i + 1) * length));
  } finally {
    await chat.close();
  }
}

async function sidesOf(
  flags: Flags,
  prompts: string,
  threads: number,
): Promise<{ sides: SideOptions[]; skipped: string | undefined }> {
  const attune: SideOptions = {
    name: "attune",
    command: process.execPath,
    args: [
      "--import",
      "tsx",
      join(import.meta.dirname, "attune-decode-side.ts"),
      "--model",
      flags.model,
      "--prompts",
      prompts,
      "--threads",
      String(threads),
    ],
    cwd: repository,
  };
  if (!flags.peer) return { sides: [attune], skipped: undefined };
  const peerModel = flags.peerModel ?? flags.model;
  if (!peerModel.endsWith(".gguf"))
    return { sides: [attune], skipped: "node-llama-cpp reads GGUF alone; give --peer-model FILE.gguf" };
  try {
    const folder = await installLlama();
    const peer: SideOptions = {
      name: "node-llama-cpp",
      command: process.execPath,
      args: [
        join(import.meta.dirname, "peer", "decode-llama.mjs"),
        peerModel,
        prompts,
        String(threads),
        folder,
      ],
    };
    return { sides: [attune, peer], skipped: undefined };
  } catch (error) {
    return {
      sides: [attune],
      skipped: `node-llama-cpp cannot be installed: ${errorMessage(error).split("\n")[0]}`,
    };
  }
}

/** The JavaScript and the CPU build of this platform alone: its own install would fetch 700 MB of GPU builds. */
async function installLlama(): Promise<string> {
  const folder = join(cache, `node-llama-cpp-${llamaVersion}`);
  const there = await access(join(folder, "node_modules", "node-llama-cpp", "package.json")).then(
    () => true,
    () => false,
  );
  if (there) return folder;
  const system = { linux: "linux", darwin: "mac", win32: "win" }[process.platform as "linux"];
  const build =
    system === "mac" && process.arch === "arm64" ? "mac-arm64-metal" : `${system}-${process.arch}`;
  await mkdir(folder, { recursive: true });
  await writeFileAtomic(join(folder, "package.json"), '{"private":true}\n');
  await promisify(execFile)(
    process.platform === "win32" ? "npm.cmd" : "npm",
    [
      "install",
      "--prefix",
      folder,
      "--ignore-scripts",
      "--omit=optional",
      "--no-audit",
      "--no-fund",
      `node-llama-cpp@${llamaVersion}`,
      `@node-llama-cpp/${build}@${llamaVersion}`,
    ],
    { timeout: 600_000 },
  );
  return folder;
}
