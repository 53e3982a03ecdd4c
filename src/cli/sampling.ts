/** The options of generation, shared by every command that replies. */
import type { Command } from "commander";
import { z } from "zod";
import type { ReplyOptions } from "../model/generate/index.ts";
import { collect, numberBetween, wholeNumber } from "./arguments.ts";

export interface SamplingFlags {
  readonly maxNewTokens: number;
  readonly sample?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly repetitionPenalty?: number;
  readonly stop: readonly string[];
  readonly seed: number;
}

export function withSamplingOptions(command: Command): Command {
  return command
    .option("--max-new-tokens <n>", "longest reply", wholeNumber(1, 1_048_576), 256)
    .option("--sample", "draw tokens at random, with the model's own settings; default: the likeliest token")
    .option("--temperature <t>", "above 0 draws: the higher, the more varied", numberBetween(0, 5))
    .option("--top-k <n>", "draw among so many of the likeliest tokens; 0: all", wholeNumber(0, 1_000_000))
    .option(
      "--top-p <share>",
      "draw among the likeliest tokens of this total probability",
      numberBetween(0.001, 1),
    )
    .option("--repetition-penalty <x>", "above 1 makes what was said less likely", numberBetween(0.1, 10))
    .option(
      "--stop <text>",
      "end a reply before this text; may be given again",
      collect,
      [] as readonly string[],
    )
    .option("--seed <n>", "of the drawing", wholeNumber(0, 2 ** 31 - 1), 0);
}

/** What models publish in generation_config.json; a value that makes no sense counts as absent. */
const published = z.object({
  temperature: z.number().gt(0).max(5).optional().catch(undefined),
  top_k: z.int().min(0).optional().catch(undefined),
  top_p: z.number().gt(0).max(1).optional().catch(undefined),
  repetition_penalty: z.number().gt(0).max(10).optional().catch(undefined),
});

/**
 * Greedy unless drawing is asked for; then flags win over what the model publishes. A repetition penalty changes what is
 * likeliest too, so that it counts for greedy replies only when it is asked for.
 */
export function samplingOf(flags: SamplingFlags, generationConfig: unknown): ReplyOptions {
  const model = published.safeParse(generationConfig ?? {}).data ?? {};
  const drawn =
    flags.temperature === undefined
      ? flags.sample === true || flags.topK !== undefined || flags.topP !== undefined
      : flags.temperature > 0;
  return {
    maxNewTokens: flags.maxNewTokens,
    stopStrings: flags.stop,
    seed: flags.seed,
    temperature: drawn ? (flags.temperature ?? model.temperature ?? 1) : 0,
    topK: drawn ? (flags.topK ?? model.top_k ?? 0) : 0,
    topP: drawn ? (flags.topP ?? model.top_p ?? 1) : 1,
    repetitionPenalty: flags.repetitionPenalty ?? (drawn ? (model.repetition_penalty ?? 1) : 1),
  };
}

/** One line for people. */
export function describeSampling(options: ReplyOptions): string {
  const { temperature, topK, topP, repetitionPenalty } = options;
  const penalty = repetitionPenalty === 1 ? "" : `, repetition penalty ${repetitionPenalty}`;
  if (temperature === 0) return `the likeliest token${penalty}`;
  return `temperature ${temperature}${topK === 0 ? "" : `, top-k ${topK}`}${topP === 1 ? "" : `, top-p ${topP}`}${penalty}, seed ${options.seed}`;
}
