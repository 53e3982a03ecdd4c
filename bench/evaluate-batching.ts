/** Replies a second of an evaluation's generation, one at a time against batches, on the same prompts of one process. */
import { Command } from "commander";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import { readExamples } from "../src/data/read/index.ts";
import {
  type EvaluationItem,
  evaluationItems,
  generateAll,
  preparePrompts,
  sampleItems,
} from "../src/judge/evaluate/index.ts";
import { openChatModel } from "../src/model/index.ts";
import { loadResidentModel } from "../src/model/decoder/index.ts";
import { generationEngine, greedy } from "../src/model/generate/index.ts";
import { UserError } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, median, peakBytes, processorName } from "./machine.ts";

interface Flags {
  readonly model: string;
  readonly on: string;
  readonly replies: number;
  readonly newTokens: number;
  readonly batches: string;
  readonly rounds: number;
  readonly threads?: number;
  readonly json?: boolean;
}

export function evaluateBatchingCommand(): Command {
  return new Command("evaluate-batching")
    .description("greedy replies a second of `attune evaluate`, one at a time against batches")
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .requiredOption("--on <file>", "conversations with replies, as for attune evaluate")
    .option("--replies <n>", "replies of each measurement", count, 32)
    .option("--new-tokens <n>", "at most so many tokens a reply", count, 64)
    .option("--batches <list>", "replies at once", "1,16,32")
    .option("--rounds <n>", "measurements of each batch size, in turn; the middle one counts", count, 1)
    .option("--threads <n>", "default: the machine's physical cores", count)
    .option("--json", "print one line of JSON")
    .action(evaluateBatching);
}

interface Measurement {
  readonly seconds: number;
  readonly tokens: number;
  readonly texts: ReadonlyMap<string, string>;
}

async function evaluateBatching(flags: Flags): Promise<void> {
  const examples = [];
  for await (const example of readExamples(flags.on, {})) examples.push(example);
  const { newTokens: maxNewTokens } = flags;
  const items = sampleItems(evaluationItems(examples), flags.replies, 0);
  if (items.length === 0) throw new UserError(`${flags.on} holds no replies`);
  const batches = flags.batches.split(",").map(Number);
  const threads = flags.threads === undefined ? {} : { threads: flags.threads };
  await using runtime = await onnxRuntime({ ...threads });
  const chat = await openChatModel(flags.model);
  const resident = await loadResidentModel(runtime, chat.spec, chat.store);
  const maxPromptTokens = Math.min(2048, chat.spec.contextLength) - maxNewTokens;

  async function measure(chosen: readonly EvaluationItem[], slots: number): Promise<Measurement> {
    const texts = new Map<string, string>();
    let tokens = 0;
    let seconds = 0;
    const prepared = preparePrompts(chat.renderer, chosen, maxPromptTokens);
    const capacity = (prepared.prompts[0]?.ids.length ?? 0) + maxNewTokens;
    await using engine = await generationEngine(resident, { slots, capacity });
    await generateAll(
      engine,
      chat.renderer,
      prepared,
      { ...greedy, maxNewTokens, stopStrings: [], seed: 0 },
      {
        records: {
          append: async (record) => {
            texts.set(record.id, record.prediction);
            tokens += record.tokens;
            seconds += record.elapsed_seconds;
          },
        },
        system: "bench",
        fingerprintOf: () => "",
        onReply: () => {},
      },
    );
    return { seconds, tokens, texts };
  }

  // First touch of memory and the kernels' own warm-up are nobody's speed.
  await measure(items.slice(0, 2), 2);
  const rounds: Measurement[][] = [];
  for (let round = 0; round < flags.rounds; round++) {
    const measured: Measurement[] = [];
    for (const batch of batches) measured.push(await measure(items, batch));
    rounds.push(measured);
  }
  await chat.close();
  const first = rounds[0]![0]!;
  const rows = batches.map((batch, i) => {
    const seconds = median(rounds.map((measured) => measured[i]!.seconds));
    const { tokens, texts } = rounds[0]![i]!;
    return {
      batch,
      repliesPerSecond: items.length / seconds,
      tokensPerSecond: tokens / seconds,
      times: median(rounds.map((measured) => measured[0]!.seconds / measured[i]!.seconds)),
      sameReplies: items.filter(({ id }) => texts.get(id) === first.texts.get(id)).length,
    };
  });
  const result = {
    bench: "evaluate-batching",
    processor: processorName(),
    threads: runtime.threads,
    loadAverage: loadAverage(),
    replies: items.length,
    maxNewTokens,
    rounds: flags.rounds,
    peakBytes: peakBytes(),
    rows,
  };
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const lines = [
    `evaluate-batching: ${items.length} replies of at most ${maxNewTokens} tokens; ${result.processor}, ${result.threads} threads, load ${result.loadAverage}`,
    ...rows.map(
      ({ batch, repliesPerSecond, tokensPerSecond, times, sameReplies }) =>
        `batch ${String(batch).padStart(3)}  ${repliesPerSecond.toFixed(3).padStart(7)} replies/s  ${tokensPerSecond.toFixed(1).padStart(7)} tokens/s  ${times.toFixed(2).padStart(5)} times batch ${batches[0]}  ${sameReplies} of ${items.length} replies are the same`,
    ),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
