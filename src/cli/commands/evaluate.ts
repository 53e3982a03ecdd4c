/** `attune evaluate`: a run against its base, its baselines and other runs, on the same prompts. */
import { createHash } from "node:crypto";
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import {
  type Evaluation,
  type EvaluationItem,
  type EvaluationOptions,
  type SystemFigures,
  diagnosisFolder,
  evaluate,
  evaluationFiles,
  evaluationItems,
  finishedEvaluation,
  generalTexts,
  readEvaluation,
  repliesOf,
  sampleItems,
} from "../../judge/index.ts";
import { SPLITS, type Split } from "../../data/index.ts";
import { openChatModel } from "../../model/index.ts";
import { isRunFolder } from "../../project/index.ts";
import { CancelledError, UserError, errorCode, formatBytes, formatCount } from "../../util/index.ts";
import { commandLine, numberBetween, wholeNumber } from "../arguments.ts";
import { interruptSignal } from "../interrupt.ts";
import { type Output, bold, dim, terminalOutput } from "../terminal.ts";
import { type JudgedRun, openJudgedData, openJudgedRun, systemsOf } from "./judged-run.ts";

export interface EvaluateFlags {
  readonly on?: string;
  readonly split?: Split;
  readonly systems?: string;
  readonly limit?: number;
  readonly batch: number;
  readonly maxNewTokens?: number;
  readonly out?: string;
  readonly samples: number;
  readonly seed: number;
  readonly threads?: number;
  readonly speedSeconds: number;
  readonly json?: boolean;
  /** Use what is in the folder when it judged the same data and no fewer replies, and never write over another. */
  readonly keep?: boolean;
}

export function evaluateCommand(): Command {
  return new Command("evaluate")
    .description(
      "compare a run with its base, with baselines and with other runs: quality, speed, forgetting",
    )
    .argument("<run>", "the folder of a run, or a model")
    .option("--on <data>", "conversations to judge on; default: what the run held out")
    .addOption(new Option("--split <name>", "of a prepared data set; default test").choices([...SPLITS]))
    .option(
      "--systems <list>",
      "of base, adapter, retrieval, frequent and folders of runs; the first is the one compared with",
    )
    .option("--limit <n>", "judge at most so many replies, drawn by the seed", wholeNumber(1, 1_000_000))
    .option("--batch <n>", "replies generated at once", wholeNumber(1, 512), 16)
    .option(
      "--max-new-tokens <n>",
      "default: one and a half times the longest reference",
      wholeNumber(1, 8192),
    )
    .option("--out <folder>", "default: evaluation in the run's folder")
    .option("--samples <n>", "bootstrap resamples for the 95 % intervals", wholeNumber(10, 100_000), 1000)
    .option("--seed <n>", "of the sample and the resampling", wholeNumber(0, 2 ** 31), 0)
    .option("--threads <n>", "default: the machine's physical cores", wholeNumber(1, 1024))
    .option(
      "--speed-seconds <n>",
      "time to spend on measuring speed, a system; 0 leaves it out",
      numberBetween(0, 3600),
      60,
    )
    .option("--json", "print progress as JSON lines; the last is the result")
    .action(async (run: string, flags: EvaluateFlags) => {
      const output = terminalOutput({ json: flags.json ?? false });
      const { evaluation, folder } = await evaluateRun(run, flags, output);
      output.clear();
      output.json({ type: "result", folder, ...resultOf(evaluation) });
      for (const line of summaryLines(evaluation, folder)) output.line(line);
    });
}

/** Evaluates or goes on evaluating; diagnosis and report use it too. */
export async function evaluateRun(
  target: string,
  flags: EvaluateFlags,
  output: Output,
  command: string = evaluateLine(target, flags),
): Promise<{
  readonly evaluation: Evaluation;
  readonly folder: string;
  readonly run: JudgedRun | undefined;
  /** The replies judged. */
  readonly items: readonly EvaluationItem[];
}> {
  const run = (await isRunFolder(target)) ? await openJudgedRun(target) : undefined;
  const data = await openJudgedData(target, flags.on, flags.split, run);
  const training = run?.training ?? [];
  if (run?.trainingMissing !== undefined)
    output.notice(`without baselines and seen replies: ${run.trainingMissing}`);
  const standard = [
    // What a model from scratch began with is noise.
    ...(run?.config.method === "pretrain" ? [] : ["base"]),
    ...(run === undefined ? [] : ["adapter"]),
    ...(training.length === 0 ? [] : ["retrieval", "frequent"]),
  ];
  const names =
    flags.systems
      ?.split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "") ?? standard;
  const systems = await systemsOf(names, target, run);
  const all = evaluationItems(data.examples, repliesOf(training));
  const model = run?.config.model ?? target;
  const folder =
    flags.out ?? (run === undefined ? join("evaluations", hashName(target)) : join(target, "evaluation"));
  const interrupt = interruptSignal(() =>
    output.notice("Stopping. What is done is kept: the same command goes on."),
  );
  const options: EvaluationOptions = {
    folder,
    command,
    items: sampleItems(all, flags.limit, flags.seed),
    training,
    systems,
    data: {
      path: data.path,
      ...(data.sha256 === undefined ? {} : { sha256: data.sha256 }),
      replies: all.length,
    },
    batch: flags.batch,
    maxNewTokens:
      flags.maxNewTokens ??
      (await replyLimit(
        model,
        all.map(({ references }) => references[0]!),
      )),
    maxTokens: 2048,
    general: await generalTexts(),
    speedSeconds: flags.speedSeconds,
    runtime: flags.threads === undefined ? {} : { threads: flags.threads },
    samples: flags.samples,
    seed: flags.seed,
    signal: interrupt.signal,
    notice: output.notice,
    onProgress: ({ system, phase, done, total }) => {
      output.json({ type: "progress", system, phase, done, total });
      output.live(`${system}: ${phase} ${formatCount(done)} of ${formatCount(total)}`);
    },
  };
  try {
    const earlier = await earlierEvaluation(folder);
    const inFolder = async (chosen: string) => ({
      evaluation: await evaluate({ ...options, folder: chosen }),
      folder: chosen,
      run,
      items: options.items,
    });
    if (earlier === undefined) return await inFolder(folder);
    if (flags.keep !== true) {
      if ("unreadable" in earlier) {
        const kept = `${evaluationFiles.evaluation}.unreadable-${Date.now()}`;
        await rename(join(folder, evaluationFiles.evaluation), join(folder, kept));
        output.notice(`${earlier.unreadable} It is kept beside the new one as ${kept}.`);
      }
      return await inFolder(folder);
    }
    const own = join(target, diagnosisFolder, "evaluation");
    if ("unreadable" in earlier) {
      output.notice(`${earlier.unreadable} It stays as it is: judging in ${own}.`);
      return await inFolder(own);
    }
    const { judged, path, sha256, replies } = earlier.data;
    const same =
      path === options.data.path &&
      sha256 === options.data.sha256 &&
      replies === all.length &&
      judged >= options.items.length &&
      (flags.maxNewTokens ?? earlier.settings.maxNewTokens) === earlier.settings.maxNewTokens;
    if (same) {
      const { maxNewTokens, seed } = earlier.settings;
      const items = sampleItems(all, judged, seed);
      const models = systems.filter(({ kind }) => kind === "base" || kind === "tuned");
      const found = await finishedEvaluation({ ...options, systems: models, items, maxNewTokens, seed });
      if (found !== undefined) return { evaluation: found, folder, run, items };
    }
    output.notice(
      `the evaluation in ${folder} is of other data, systems or fewer replies: judging in ${own}`,
    );
    return await inFolder(own);
  } catch (error) {
    if (interrupt.signal.aborted) throw new CancelledError("the evaluation");
    throw error;
  } finally {
    interrupt.dispose();
  }
}

/** What is in the folder already, or why it cannot be read; such a file may be worth something to somebody. */
async function earlierEvaluation(
  folder: string,
): Promise<Evaluation | { readonly unreadable: string } | undefined> {
  const path = join(folder, evaluationFiles.evaluation);
  const there = await stat(path).then(
    () => true,
    (error: unknown) => !["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? ""),
  );
  if (!there) return undefined;
  return readEvaluation(folder).catch((error: unknown) => {
    if (error instanceof UserError) return { unreadable: error.message };
    throw error;
  });
}

/** The command that asks for just this evaluation. */
function evaluateLine(target: string, flags: EvaluateFlags): string {
  const { on, split, systems, limit, batch, maxNewTokens, out, samples, seed, speedSeconds } = flags;
  return commandLine(["evaluate", target], {
    on,
    split,
    systems,
    limit,
    batch,
    maxNewTokens,
    out,
    samples,
    seed,
    speedSeconds,
  });
}

const hashName = (target: string): string =>
  `${target.replaceAll(/[^\w.-]+/g, "-").slice(-60)}-${createHash("sha256").update(target).digest("hex").slice(0, 6)}`;

/** Room for one and a half times the longest reference; a system that never stops must not take hours. */
async function replyLimit(model: string, references: readonly string[]): Promise<number> {
  const opened = await openChatModel(model);
  try {
    const { tokenizer } = opened.renderer;
    const longest = references.reduce((most, text) => Math.max(most, tokenizer.encode(text).length), 0);
    return Math.max(64, Math.min(512, Math.ceil(1.5 * longest)));
  } finally {
    await opened.close();
  }
}

const rounded = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) ? null : Number(value.toPrecision(6));

/** What scripts read. */
export function resultOf(evaluation: Evaluation): Record<string, unknown> {
  const of = ({
    name,
    kind,
    metrics,
    perplexity,
    speed,
    generation,
    general,
    comparison,
  }: SystemFigures): unknown => ({
    name,
    kind,
    replies: metrics.count,
    bleu4: rounded(metrics.bleu4.score),
    rougeL: rounded(metrics.rougeL.score),
    chrf: rounded(metrics.chrf.score),
    perplexity: rounded(perplexity?.score),
    ttftMsP50: rounded(speed?.ttftMsP50),
    ttftMsP95: rounded(speed?.ttftMsP95),
    decodeTokensPerSecond: rounded(speed?.decodeTokensPerSecond),
    prefillTokensPerSecond: rounded(speed?.prefillTokensPerSecond),
    repliesPerSecond: rounded(generation.repliesPerSecond),
    repliesPerSecondAlone: rounded(speed?.repliesPerSecondAlone),
    general: Object.fromEntries(
      Object.entries(general).map(([text, { perplexity: value }]) => [text, rounded(value)]),
    ),
    ...(comparison === undefined
      ? {}
      : { against: comparison.against, bleu4PValue: rounded(comparison.bleu4.pValue) }),
  });
  const { data, machine, peakBytes, warnings, systems } = evaluation;
  return {
    judged: data.judged,
    seenShare: data.seenShare,
    peakBytes,
    machine,
    warnings,
    systems: systems.map(of),
  };
}

function summaryLines(evaluation: Evaluation, folder: string): string[] {
  const { systems, data, machine } = evaluation;
  const cell = (text: string): string => text.padStart(11);
  const wide = Math.max(10, ...systems.map(({ name }) => name.length)) + 2;
  const figure = (value: number | undefined, digits: number): string =>
    cell(value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits));
  const head = ["BLEU-4", "± 95 %", "ROUGE-L", "perplexity", "first ms", "tokens/s", "replies/s"];
  const lines = [
    `${bold("judged")}  ${formatCount(data.judged)} of ${formatCount(data.replies)} replies of ${data.path}; ${(100 * data.seenShare).toFixed(0)} % stand word for word in training`,
    dim("".padEnd(wide) + head.map(cell).join("")),
    ...systems.map(({ name, metrics, perplexity, speed, generation }) => {
      const { bleu4 } = metrics;
      return (
        name.padEnd(wide) +
        figure(bleu4.score, 2) +
        figure((bleu4.high - bleu4.low) / 2, 2) +
        figure(100 * metrics.rougeL.score, 2) +
        figure(perplexity?.score, 2) +
        figure(speed?.ttftMsP50, 0) +
        figure(speed?.decodeTokensPerSecond, 0) +
        figure(speed === undefined ? undefined : generation.repliesPerSecond, 2)
      );
    }),
  ];
  for (const { name, comparison, generation, general, speed } of systems) {
    if (comparison !== undefined) {
      const { difference, pValue } = comparison.bleu4;
      lines.push(
        `${name} against ${comparison.against}: BLEU-4 ${difference.score < 0 ? "−" : "+"}${Math.abs(difference.score).toFixed(2)} (95 %: ${difference.low.toFixed(2)} to ${difference.high.toFixed(2)}, p = ${pValue.toFixed(3)})`,
      );
    }
    if (generation.speedup !== undefined)
      lines.push(`${name}: ${generation.speedup.toFixed(1)} times the replies a second of one at a time`);
    if (speed !== undefined) {
      const byPrompt = speed.ttftByPrompt.map(
        ({ prompt, p50Ms, p95Ms }) => `${prompt} ${p50Ms.toFixed(0)}/${p95Ms.toFixed(0)}`,
      );
      lines.push(`${name}: first token by tokens of the prompt, p50/p95 ms: ${byPrompt.join(", ")}`);
    }
    const texts = Object.entries(general).map(([text, { perplexity }]) => `${text} ${perplexity.toFixed(1)}`);
    if (texts.length > 0) lines.push(`${name}: perplexity of general text: ${texts.join(", ")}`);
  }
  lines.push(...evaluation.warnings.map((warning) => `warning: ${warning}`));
  lines.push(
    dim(
      `${machine.cpu}, ${machine.threads} threads, ${machine.precision}, ${machine.runtime}; peak ${formatBytes(evaluation.peakBytes)}`,
    ),
    `written to ${folder}/evaluation.json and predictions.jsonl; let people rate them: attune rate ${join(folder, "predictions.jsonl")}`,
  );
  return lines;
}
