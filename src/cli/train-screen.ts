/** A training run on the screen: a live block on a terminal, plain lines in a pipe, JSON lines on demand. */
import { parameterCount } from "../model/decoder/index.ts";
import { type PreparedRun, type RunTime, cutOf, microBatchText, numericsNote } from "../project/index.ts";
import type { RunEvent } from "../train/index.ts";
import { formatBytes, formatCount, formatDuration, formatPercent } from "../util/index.ts";
import { type Output, bar, bold, cyan, dim, green, sparkline, yellow } from "./terminal.ts";

type Finished = Extract<RunEvent, { type: "finished" }>;
type Step = Extract<RunEvent, { type: "step" }>;
/** Dynamic loss scaling as last told. */
type Scaling = Required<Pick<Step, "lossScale" | "skippedSteps">>;
type Evaluation = Extract<RunEvent, { type: "evaluation" }>;

/** The plan as a few lines: model, adapter, data, length of the run. */
export function describePlan(
  { plan, model, data }: PreparedRun,
  folder: string,
  output: Output,
  time?: RunTime,
): void {
  const { summary, config, layers } = plan;
  const { training, validation, memory, trainableParameters, totalParameters } = summary;
  const { lora } = config;
  const kinds = new Set(layers.map(({ path }) => path.split(".").at(-1)!));
  const row = (name: string, text: string): void => output.line(`${bold(name.padEnd(8))}${text}`);
  row("model", `${model.opened.name}, ${formatCount(parameterCount(model.spec))} parameters`);
  if (config.method !== "lora")
    row(
      "method",
      `every weight is trained${config.method === "pretrain" ? " from scratch" : ""}, saved in ${config.training.saveAs}`,
    );
  else
    row(
      "adapter",
      `${lora.dora ? "DoRA" : "LoRA"} rank ${lora.rank}, alpha ${lora.alpha}, dropout ${lora.dropout} on ${[...kinds].join(", ")}${lora.modulesToSave.length === 0 ? "" : `, and ${lora.modulesToSave.join(", ")} whole`}`,
    );
  row(
    "",
    `trainable ${formatCount(trainableParameters)} of ${formatCount(totalParameters)} (${formatPercent(trainableParameters / totalParameters)})`,
  );
  const { residual, attention } = config.training.dropout;
  if (residual > 0 || attention > 0)
    row("", `dropout ${residual} on the residual stream, ${attention} on attention`);
  const { replies, examples } = training.encoding;
  const { sequences, tokensAfter, factor } = training.folding;
  const fewer = [
    ...(factor > 1.005 ? [`folding reads ${factor.toFixed(2)} times fewer`] : []),
    ...(summary.sharingFactor > 1.02
      ? [`common beginnings read once, ${summary.sharingFactor.toFixed(2)} times fewer`]
      : []),
  ];
  const folded = fewer.length === 0 ? "" : ` (${fewer.join("; ")})`;
  const corpus = data.corpus !== undefined;
  const count = corpus ? `${formatCount(examples)} documents` : `${formatCount(replies)} replies`;
  row(
    "data",
    `${count} in ${formatCount(sequences)} sequences, ${formatCount(tokensAfter)} tokens an epoch${folded}`,
  );
  row(
    "",
    `${data.split}${validation === undefined ? "" : `: ${corpus ? `${formatCount(validation.encoding.tokens)} tokens` : `${formatCount(validation.encoding.replies)} replies`}`}`,
  );
  const { shortenedRows, rejected } = training.encoding;
  if (corpus) {
    if (shortenedRows > 0)
      row("", `${formatCount(shortenedRows)} documents over ${summary.maxLength} tokens are read in pieces`);
  } else {
    for (const [set, encoding] of [
      ["", training.encoding],
      ["validation: ", validation?.encoding],
    ] as const)
      if (encoding !== undefined && encoding.shortenedRows > 0)
        row("", `${set}${cutText(encoding, summary.maxLength)}`);
  }
  if (rejected.length > 0)
    row(
      "",
      yellow(`${formatCount(rejected.length)} replies cannot be learned; the first: ${rejected[0]!.reason}`),
    );
  const { batchTokens } = config.training;
  const batch =
    batchTokens === undefined ? `${config.training.batch} replies` : `${formatCount(batchTokens)} tokens`;
  row(
    "run",
    `${formatCount(summary.steps)} steps of ${batch}, ${formatCount(summary.stepsPerEpoch)} an epoch`,
  );
  if (time !== undefined) row("time", timeText(time));
  row("memory", memoryText(plan));
  if (plan.choice.reason !== undefined) {
    const { settings, reason } = plan.choice;
    row("", `${microBatchText(settings)}, checkpointing ${settings.checkpointing}: ${reason}`);
  }
  const note = numericsNote(config, { totalBytes: memory.totalBytes, plainBytes: summary.plainMemoryBytes });
  if (note !== undefined) row("", note);
  row(
    "",
    `a checkpoint takes ${formatBytes(summary.checkpointBytes)}; ${config.checkpoint.keep} and the best are kept`,
  );
  row("", folder);
}

/** A step, what it computes and how fast this machine does, and the whole run. */
function timeText({
  stepSeconds,
  evaluationSeconds,
  totalSeconds,
  stepOperations,
  stepBytes,
  rates,
}: RunTime): string {
  const giga = (value: number): string => formatCount(Math.round(value / 1e9));
  const fastest = Math.max(...Object.values(rates.operationsPerSecond));
  const evaluations = evaluationSeconds > 0 ? ` and ${formatDuration(evaluationSeconds)} an evaluation` : "";
  return `about ${formatDuration(stepSeconds)} a step${evaluations}, ${formatDuration(totalSeconds)} in all if nothing stops it early (${giga(stepOperations)} billion operations and ${formatBytes(stepBytes)} moved a step; measured now: products up to ${giga(fastest)} billion a second)`;
}

/** What was left out of conversations that are too long: whole oldest turns, never a system message or the last turn. */
function cutText(
  { shortenedRows, droppedMessages }: PreparedRun["plan"]["summary"]["training"]["encoding"],
  maxLength: number,
): string {
  return `${formatCount(shortenedRows)} rows over ${formatCount(maxLength)} tokens lost their oldest turns, ${formatCount(droppedMessages)} messages`;
}

/** The whole and its largest parts, and what there is. */
function memoryText({ summary: { memory }, limit }: PreparedRun["plan"]): string {
  const { totalBytes, weightBytes, stepBytes, evaluationBytes } = memory;
  const rest = totalBytes - weightBytes - stepBytes - evaluationBytes;
  const parts = [
    ...(weightBytes > 0 ? [`weights ${formatBytes(weightBytes)}`] : []),
    `steps ${formatBytes(stepBytes)}`,
    ...(evaluationBytes > 0 ? [`evaluations ${formatBytes(evaluationBytes)}`] : []),
    `the rest ${formatBytes(rest)}`,
  ];
  const room = limit.given ? "allowed" : "free";
  return `about ${formatBytes(totalBytes)} (${parts.join(", ")}); ${formatBytes(limit.bytes)} ${room}`;
}

/** The figures of the plan that programs need. */
export function planJson(
  { plan: { summary, limit, choice } }: PreparedRun,
  time?: RunTime,
): Record<string, unknown> {
  return {
    trainableParameters: summary.trainableParameters,
    totalParameters: summary.totalParameters,
    steps: summary.steps,
    stepsPerEpoch: summary.stepsPerEpoch,
    trainingReplies: summary.training.encoding.replies,
    trainingTokens: summary.training.folding.tokensAfter,
    rejectedReplies: summary.training.encoding.rejected.length,
    cut: cutOf(summary),
    foldingFactor: summary.training.folding.factor,
    sharingFactor: summary.sharingFactor,
    checkpointBytes: summary.checkpointBytes,
    memoryBytesEstimated: summary.memory.totalBytes,
    memoryBytesByPart: summary.memory,
    memoryBytesAllowed: limit.bytes,
    microTokens: choice.settings.microTokens,
    lanes: choice.settings.lanes,
    checkpointing: choice.settings.checkpointing,
    ...(choice.reason === undefined ? {} : { chosenBecause: choice.reason }),
    memoryBytesInFloat32: summary.plainMemoryBytes,
    ...(time === undefined
      ? {}
      : {
          stepSecondsEstimated: time.stepSeconds,
          evaluationSecondsEstimated: time.evaluationSeconds,
          totalSecondsEstimated: time.totalSeconds,
          stepOperations: time.stepOperations,
          stepBytes: time.stepBytes,
          measuredRates: time.rates,
        }),
  };
}

/** Shows events as they come; the last one prints the figures and, unless `result` is false, the result for programs. */
export function trainingScreen(
  { plan }: PreparedRun,
  folder: string,
  output: Output,
  options: { readonly result?: boolean } = {},
): (event: RunEvent) => void {
  const losses: number[] = [];
  const recent: Step[] = [];
  let last: Step | undefined;
  let scaling: Scaling | undefined;
  let evaluation: Evaluation | undefined;
  let before: number | undefined;
  let best: Evaluation | undefined;

  const showStep = (step: Step): void => {
    last = step;
    losses.push(step.loss);
    recent.push(step);
    if (recent.length > 50) recent.shift();
    const speed = rate(recent);
    const left = formatDuration(secondsLeft(recent, step, plan, evaluation));
    const loss = mean(losses.slice(-10)).toFixed(4);
    const measured = evaluation === undefined ? "" : `  validation ${evaluation.validationLoss.toFixed(4)}`;
    const scaled = scaling === undefined ? "" : `  ${scalingText(scaling)}`;
    output.live(
      `step ${step.step}/${plan.steps}  loss ${loss}  norm ${step.gradientNorm.toFixed(2)}  ${speed} tokens/s  ${left} left${measured}${noiseText(step)}${scaled}`,
      [
        `${bold("loss")}    ${loss}  ${cyan(sparkline(losses, 40))}`,
        `${bold("step")}    ${formatCount(step.step)} of ${formatCount(plan.steps)}  ${bar(step.step / plan.steps, 30)} ${formatPercent(step.step / plan.steps, 0)}  ${dim(`epoch ${step.epoch.toFixed(2)}`)}`,
        `${bold("speed")}   ${formatCount(speed)} tokens/s  ${left} left  ${dim(`norm ${step.gradientNorm.toFixed(2)}  rate ${step.learningRate.toExponential(1)}${noiseText(step)}${scaled}`)}`,
        ...(evaluation === undefined || before === undefined
          ? []
          : [
              `${bold("held out")} ${before.toFixed(4)} → ${evaluation.validationLoss.toFixed(4)}  ${dim(`best ${best!.validationLoss.toFixed(4)} at step ${best!.step}; ${evaluation.patienceLeft} more without gain stop the run`)}`,
            ]),
      ],
    );
  };
  return (event) => {
    output.json(jsonEvent(event));
    switch (event.type) {
      case "step":
        scaling = scalingOf(event) ?? scaling;
        showStep(event);
        return;
      case "evaluation": {
        evaluation = event;
        before ??= event.validationLoss;
        if (event.best) best = event;
        const verdict = event.best
          ? green(event.step === 0 ? "before training" : "best so far")
          : `no better; ${event.patienceLeft} more allowed`;
        const trained = last === undefined ? "" : `  training loss ${mean(losses.slice(-10)).toFixed(4)}`;
        output.line(
          `step ${String(event.step).padStart(String(plan.steps).length)}  validation loss ${event.validationLoss.toFixed(4)}${trained}  (${verdict})`,
        );
        return;
      }
      case "skipped":
        scaling = scalingOf(event);
        output.line(
          dim(
            `step ${event.step} skipped: its gradient overflows float16 (${event.skippedSteps} so far); loss scale now ${formatCount(event.lossScale)}`,
          ),
        );
        return;
      case "probe":
        for (const { prompt, reply } of event.replies) {
          output.line(dim(`        customer: ${oneLine(prompt)}`));
          output.line(`        model:    ${oneLine(reply)}`);
        }
        return;
      case "warning":
        output.line(yellow(`warning: ${event.message}`));
        return;
      case "finished":
        if (options.result !== false) output.json(resultOf(event, plan, folder, scaling));
        finish(event, plan, folder, output, scaling);
        if (last !== undefined) output.line(dim(`        ${noiseSummary(last, plan)}`));
        return;
      case "prediction":
        output.line(
          dim(`        expected: a peak of about ${formatBytes(event.peakBytes)}${expectedTime(event)}`),
        );
        return;
      case "started":
      case "checkpoint":
    }
  };
}

function scalingOf({ lossScale, skippedSteps }: Partial<Scaling>): Scaling | undefined {
  return lossScale === undefined || skippedSteps === undefined ? undefined : { lossScale, skippedSteps };
}

function noiseText({ noiseScale }: Step): string {
  return noiseScale === undefined ? "" : `  noise scale ${formatCount(Math.round(noiseScale))}`;
}

/** What the noise scale says of the batch, or why there is none. */
function noiseSummary({ noiseScale, replies }: Step, { config }: PreparedRun["plan"]): string {
  const unit = config.method === "pretrain" ? "sequences" : "replies";
  if (noiseScale === undefined)
    return "gradient noise scale: not measured, as it takes steps of several micro-batches and a gradient that stands out of their noise";
  const scale = formatCount(Math.max(1, Math.round(noiseScale)));
  return `gradient noise scale: about ${scale} ${unit} (a step has ${formatCount(replies)}); far larger batches save few steps, far smaller ones are as good a token`;
}

function scalingText({ lossScale, skippedSteps }: Scaling): string {
  return `loss scale ${formatCount(lossScale)}, ${formatCount(skippedSteps)} skipped`;
}

function expectedTime({ stepSeconds, totalSeconds }: Extract<RunEvent, { type: "prediction" }>): string {
  if (stepSeconds === undefined || totalSeconds === undefined) return "";
  return `, about ${formatDuration(stepSeconds)} a step, ${formatDuration(totalSeconds)} in all`;
}

/** Steps of the same kind take about as long as the last ones; evaluations and a last one are still to come. */
function secondsLeft(
  recent: readonly Step[],
  { step }: Step,
  plan: PreparedRun["plan"],
  evaluation: Evaluation | undefined,
): number {
  const stepSeconds = mean(recent.map(({ seconds }) => seconds));
  const { evaluateEvery, steps, validation } = plan;
  const evaluations =
    validation.length === 0 ? 0 : Math.ceil(steps / evaluateEvery) - Math.floor(step / evaluateEvery);
  return stepSeconds * (steps - step) + evaluations * (evaluation?.seconds ?? 0);
}

function rate(steps: readonly Step[]): number {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  return Math.round(steps.reduce((sum, step) => sum + step.tokens, 0) / seconds);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Text of a model or of the data as a short line: no line breaks, nothing that a terminal would obey. */
function oneLine(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, " ").trim();
  const characters = Array.from(line);
  return characters.length > 200 ? `${characters.slice(0, 199).join("")}…` : line;
}

/** JSON knows no NaN: what was not measured is null. */
function jsonEvent(event: RunEvent): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(event).map(([key, value]) => [
      key,
      typeof value === "number" ? finiteOrNull(value) : value,
    ]),
  );
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function resultOf(
  event: Finished,
  plan: PreparedRun["plan"],
  folder: string,
  scaling: Scaling | undefined,
): Record<string, unknown> {
  return {
    type: "result",
    run: folder,
    reason: event.reason,
    trainableParameters: plan.summary.trainableParameters,
    totalParameters: plan.summary.totalParameters,
    validationLossBefore: finiteOrNull(event.validationLossBefore),
    validationLossBest: finiteOrNull(event.validationLossBest),
    bestStep: event.bestStep,
    steps: event.step,
    tokensPerSecond: event.tokensPerSecond,
    stepSeconds: event.stepSeconds,
    peakBytes: event.peakBytes,
    predictedPeakBytes: event.predictedPeakBytes,
    predictedStepSeconds: event.predictedStepSeconds,
    predictedSeconds: event.predictedSeconds,
    seconds: event.seconds,
    ...scaling,
  };
}

function finish(
  event: Finished,
  plan: PreparedRun["plan"],
  folder: string,
  output: Output,
  scaling: Scaling | undefined,
): void {
  if (event.reason === "interrupted") {
    const command = plan.config.method === "pretrain" ? "pretrain" : "train";
    output.line(`Stopped at step ${event.step}. Go on with: attune ${command} --resume ${folder}`);
    return;
  }
  if (event.reason === "early-stopped")
    output.line(`Stopped early: validation loss has not improved since step ${event.bestStep}.`);
  const losses = Number.isFinite(event.validationLossBest)
    ? `validation loss ${event.validationLossBefore.toFixed(4)} → ${event.validationLossBest.toFixed(4)} (step ${event.bestStep}); `
    : "";
  const scaled = scaling === undefined ? "" : `; ${scalingText(scaling)}`;
  const { predictedPeakBytes, stepSeconds, predictedStepSeconds, predictedSeconds } = event;
  const expected = (seconds: number | undefined): string =>
    seconds === undefined ? "" : ` (expected ${formatDuration(seconds)})`;
  const expectedPeak =
    predictedPeakBytes === undefined ? "" : ` (expected ${formatBytes(predictedPeakBytes)})`;
  const pace =
    stepSeconds > 0 ? `; ${formatDuration(stepSeconds)} a step${expected(predictedStepSeconds)}` : "";
  output.line(
    `${bold("done")}    ${losses}${formatCount(event.tokensPerSecond)} tokens/s; peak ${formatBytes(event.peakBytes)}${expectedPeak}${pace}; ${formatDuration(event.seconds)}${expected(predictedSeconds)}${scaled}`,
  );
}
