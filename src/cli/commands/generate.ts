/** `attune generate`: a file of conversations in, a file of replies out; batched, streamed to disk, resumable. */
import { createHash } from "node:crypto";
import { Command } from "commander";
import { type Prompt, readPrompts } from "../../data/read/index.ts";
import type { ReplyOptions, ReplyRequest } from "../../model/generate/index.ts";
import type { Message } from "../../model/text/index.ts";
import { type ModelSource, fitPrompt, openModelSource, startResponder } from "../../project/index.ts";
import { CancelledError, UserError, formatCount, formatDuration, formatPercent } from "../../util/index.ts";
import { wholeNumber } from "../arguments.ts";
import { hubReporter } from "../hub-events.ts";
import { interruptSignal, interruptedExitCode } from "../interrupt.ts";
import { type PredictionsFile, openPredictions } from "../predictions-file.ts";
import { type SamplingFlags, describeSampling, samplingOf, withSamplingOptions } from "../sampling.ts";
import { type Output, bar, bold, terminalOutput } from "../terminal.ts";

interface GenerateFlags extends SamplingFlags {
  readonly input: string;
  readonly output: string;
  readonly systemPrompt?: string;
  readonly name?: string;
  readonly limit?: number;
  readonly batch: number;
  readonly base?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("answer a file of conversations: batched, streamed to disk, resumable")
    .argument(
      "<run|model>",
      "the folder of a run or an adapter, a model folder, a .gguf file, or owner/name[@revision]",
    )
    .requiredOption(
      "--input <file>",
      "JSON lines with `context` (and `response` as the reference), or any known layout",
    )
    .requiredOption("--output <file>", "JSON lines, one a reply; an unfinished file is gone on with")
    .option("--system-prompt <text>", "stands before conversations that bring none")
    .option("--name <system>", "names the system in the output; default: the run or model")
    .option("--limit <n>", "only the first so many", wholeNumber(1, 100_000_000))
    .option("--batch <n>", "conversations answered at once", wholeNumber(1, 1024), 8)
    .option("--base <model>", "the base model, when it is not where the run says");
  return withSamplingOptions(command)
    .option("--threads <n>", "default: the machine's physical cores", wholeNumber(1, 1024))
    .option("--json", "print progress as JSON lines; the last is the result")
    .action(async (reference: string, flags: GenerateFlags) => {
      process.exitCode = await generate(reference, flags, terminalOutput({ json: flags.json ?? false }));
    });
}

async function generate(reference: string, flags: GenerateFlags, output: Output): Promise<number> {
  await using source = await openModelSource(reference, {
    onEvent: hubReporter(output),
    ...(flags.base === undefined ? {} : { base: flags.base }),
  });
  const options = samplingOf(flags, source.chat.opened.generationConfig);
  const prompts = await collectPrompts(flags, source.name);
  await using file = await openPredictions(flags.output, settingsOf(source, options, flags));
  const left = prompts.filter(({ id }) => !file.done.has(id));
  refuseForeign(file, prompts, flags);
  const job: Job = { source, options, flags, file, prompts, left };
  if (left.length === 0) {
    report({ job, tally: emptyTally(), seconds: 0 }, output);
    return 0;
  }
  return await answerAll(job, output);
}

interface Job {
  readonly source: ModelSource;
  readonly options: ReplyOptions;
  readonly flags: GenerateFlags;
  readonly file: PredictionsFile;
  readonly prompts: readonly Prompt[];
  readonly left: readonly Prompt[];
}

async function answerAll(job: Job, output: Output): Promise<number> {
  const { source, options, flags, file, prompts, left } = job;
  const { contextLength } = source.chat.spec;
  const room = Math.min(options.maxNewTokens, Math.floor(contextLength / 2));
  const lengths = measure(job, room);
  const longest = Math.min(contextLength, Math.max(...lengths) + options.maxNewTokens);
  await using responder = await startResponder(source, {
    slots: Math.min(flags.batch, left.length),
    capacity: longest,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    onWeight: (done, total) => output.live(`reading weights ${done} of ${total}`),
  });
  const interrupt = interruptSignal(() => output.notice("Stopping; every finished reply is in the file."));
  const system = flags.name ?? source.name;
  const settings = settingsOf(source, options, flags);
  output.line(
    `${bold(system)}: ${formatCount(left.length)} conversations to answer${file.done.size === 0 ? "" : ` (${formatCount(file.done.size)} are there already)`}; ${describeSampling(options)}`,
  );
  const tally = emptyTally();
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  function* requests(): Generator<ReplyRequest<Prompt>> {
    for (const prompt of left) {
      const { ids, dropped } = responder.fit(withSystem(prompt, flags), room);
      if (dropped > 0) tally.shortened += 1;
      yield { key: prompt, ids };
    }
  }
  try {
    for await (const event of responder.reply(requests(), options, longest, interrupt.signal)) {
      if (event.type === "text") continue;
      const { key, text, ids, stoppedBy, promptTokens } = event;
      await file.append({
        id: key.id,
        dialogue_id: key.dialogueId,
        context: withSystem(key, flags).map(({ role, content }) => ({ role, content })),
        ...(key.reference === undefined ? {} : { reference: key.reference }),
        ...(key.intent === undefined ? {} : { intent: key.intent }),
        system,
        prediction: text.trim(),
        stoppedBy,
        replyTokens: ids.length,
        settings,
      });
      tally.replies += 1;
      tally.promptTokens += promptTokens;
      tally.replyTokens += ids.length;
      if (stoppedBy === "length") tally.cutByLength += 1;
      showProgress(tally, left.length, prompts.length, seconds(), output);
    }
  } catch (error) {
    if (!(error instanceof CancelledError) && !interrupt.signal.aborted) throw error;
  } finally {
    interrupt.dispose();
  }
  report({ job, tally, seconds: seconds() }, output);
  return interrupt.signal.aborted && tally.replies < left.length ? interruptedExitCode : 0;
}

interface Tally {
  replies: number;
  promptTokens: number;
  replyTokens: number;
  cutByLength: number;
  shortened: number;
}

const emptyTally = (): Tally => ({
  replies: 0,
  promptTokens: 0,
  replyTokens: 0,
  cutByLength: 0,
  shortened: 0,
});

async function collectPrompts(flags: GenerateFlags, name: string): Promise<Prompt[]> {
  const prompts: Prompt[] = [];
  for await (const prompt of readPrompts(flags.input)) {
    prompts.push(prompt);
    if (prompts.length === flags.limit) break;
  }
  if (prompts.length === 0)
    throw new UserError(`${flags.input} holds nothing for ${name} to answer`, { next: "Check the file." });
  return prompts;
}

/** Prompt lengths in tokens; one that cannot fit is an error before anything is computed. */
function measure({ left, source, flags }: Job, room: number): number[] {
  const limit = source.chat.spec.contextLength - room;
  const { renderer } = source.chat;
  return left.map((prompt) => fitPrompt(renderer, withSystem(prompt, flags), limit, prompt.place).ids.length);
}

function withSystem(prompt: Prompt, { systemPrompt }: GenerateFlags): readonly Message[] {
  return systemPrompt === undefined || prompt.messages[0]?.role === "system"
    ? prompt.messages
    : [{ role: "system", content: systemPrompt }, ...prompt.messages];
}

/** Names all that decides a reply beside its conversation. */
function settingsOf(source: ModelSource, options: ReplyOptions, flags: GenerateFlags): string {
  const deciding = [source.identity, options, flags.systemPrompt ?? null, flags.name ?? source.name];
  return createHash("sha256").update(JSON.stringify(deciding)).digest("hex").slice(0, 16);
}

function refuseForeign(file: PredictionsFile, prompts: readonly Prompt[], flags: GenerateFlags): void {
  const known = new Set(prompts.map(({ id }) => id));
  for (const id of file.done) {
    if (known.has(id) || flags.limit !== undefined) continue;
    throw new UserError(
      `${flags.output} holds a reply to ${JSON.stringify(id)}, which ${flags.input} does not have`,
      {
        next: "Name the input that it was made from, or choose another --output.",
      },
    );
  }
}

function showProgress(tally: Tally, left: number, total: number, seconds: number, output: Output): void {
  const rate = tally.replies / seconds;
  const tokens = Math.round(tally.replyTokens / seconds);
  const eta = (left - tally.replies) / rate;
  const done = total - left + tally.replies;
  output.json({
    type: "progress",
    replies: done,
    repliesTotal: total,
    replyTokensPerSecond: tokens,
    secondsLeft: eta,
  });
  const counts = `${formatCount(done)} of ${formatCount(total)} replies`;
  const rest = `${tokens} tokens/s  ${formatDuration(eta)} left`;
  output.live(`${counts}  ${rest}`, [
    `${bar(done / total, 30)} ${formatPercent(done / total, 0)}`,
    `${counts}  ${rest}`,
  ]);
}

function report(
  { job, tally, seconds }: { readonly job: Job; readonly tally: Tally; readonly seconds: number },
  output: Output,
): void {
  const { prompts, left, file, flags } = job;
  const finished = tally.replies === left.length;
  output.json({
    type: "result",
    output: flags.output,
    replies: prompts.length - left.length + tally.replies,
    repliesTotal: prompts.length,
    repliesGenerated: tally.replies,
    promptTokens: tally.promptTokens,
    replyTokens: tally.replyTokens,
    replyTokensPerSecond: seconds === 0 ? 0 : tally.replyTokens / seconds,
    stoppedByLength: tally.cutByLength,
    shortenedConversations: tally.shortened,
    seconds,
  });
  if (!finished) {
    output.line(
      `${formatCount(file.done.size + tally.replies)} of ${formatCount(prompts.length)} replies are in ${flags.output}; the same command goes on from there.`,
    );
    return;
  }
  if (left.length === 0)
    output.line(`all ${formatCount(prompts.length)} replies are in ${flags.output} already`);
  else
    output.line(
      `${bold("done")} ${formatCount(prompts.length)} replies in ${flags.output}; ${Math.round(tally.replyTokens / seconds)} tokens/s; ${formatDuration(seconds)}`,
    );
  if (tally.cutByLength > 0)
    output.line(
      `     ${formatCount(tally.cutByLength)} replies reached --max-new-tokens and stop in the middle`,
    );
  if (tally.shortened > 0)
    output.line(
      `     ${formatCount(tally.shortened)} conversations were too long: their oldest turns were left out`,
    );
  if (prompts.some(({ reference }) => reference !== undefined))
    output.line(`     score them: attune metrics --references ${flags.output} --predictions ${flags.output}`);
  output.line(`     let people rate them: attune rate ${flags.output}`);
}
