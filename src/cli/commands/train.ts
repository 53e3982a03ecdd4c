/** `attune train`: from a configuration to the best adapter. */
import { basename } from "node:path";
import { Command } from "commander";
import {
  type PreparedRun,
  type TrainConfig,
  leafKeys,
  prepareRun,
  resolveConfig,
  runConfigPath,
  runTraining,
  trainConfigSchema,
} from "../../project/index.ts";
import type { RunEvent } from "../../train/index.ts";
import { formatBytes, formatCount, formatDuration, formatPercent } from "../../util/index.ts";
import { interruptSignal, interruptedExitCode } from "../interrupt.ts";
import { type Output, bold, dim, green, terminalOutput } from "../terminal.ts";

interface TrainFlags {
  readonly model?: string;
  readonly data?: string;
  readonly out?: string;
  readonly set: readonly string[];
  readonly resume?: boolean | string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function trainCommand(): Command {
  return new Command("train")
    .description("fine-tune a model on dialogues: LoRA, early stopping, the best adapter kept")
    .argument("[config]", "a YAML file; every key has a default but model and data")
    .option("--model <reference>", "a model folder, a .gguf file, or owner/name[@revision]")
    .option("--data <path>", "JSON lines, or a folder made by `attune data prepare`")
    .option("--out <folder>", "where the run is kept")
    .option(
      "--set <key=value>",
      "override one setting, such as lora.rank=8",
      (value, all: string[]) => [...all, value],
      [] as string[],
    )
    .option("--resume [run]", "go on with a run from its last checkpoint")
    .option("--dry-run", "print the plan and stop")
    .option("--json", "print events as JSON lines; the last is the result")
    .action(async (file: string | undefined, flags: TrainFlags) => {
      const output = terminalOutput({ json: flags.json ?? false });
      process.exitCode = await train(file, flags, output);
    });
}

async function train(file: string | undefined, flags: TrainFlags, output: Output): Promise<number> {
  const resumed = typeof flags.resume === "string" ? flags.resume : undefined;
  const configFile = file ?? (resumed === undefined ? undefined : runConfigPath(resumed));
  const { config, origins } = await resolveConfig(trainConfigSchema, {
    ...(configFile === undefined ? {} : { file: configFile }),
    flags: { model: flags.model, data: flags.data, out: flags.out },
    set: flags.set,
  });
  const folder = resumed ?? config.out ?? defaultFolder(config);
  await using prepared = await prepareRun(config, output.notice);
  describePlan(prepared, folder, output);
  if (flags.dryRun === true) {
    for (const key of leafKeys(config))
      output.line(dim(`  ${key} = ${valueAt(config, key)} (${origins.get(key) ?? "default"})`));
    output.json({ type: "result", run: folder, ...planJson(prepared), config });
    return 0;
  }
  const interrupt = interruptSignal(() =>
    output.notice("Stopping after this step; a checkpoint is saved. Once more to stop at once."),
  );
  try {
    const reporter = trainingReporter(prepared, folder, output);
    const events = runTraining(prepared, {
      origins,
      folder,
      resume: flags.resume !== undefined && flags.resume !== false,
      signal: interrupt.signal,
      notice: output.notice,
      onWeight: (done, total) => output.live(`reading weights ${done} of ${total}`),
    });
    let last: RunEvent | undefined;
    for await (const event of events) {
      reporter(event);
      last = event;
    }
    return last?.type === "finished" && last.reason === "interrupted" ? interruptedExitCode : 0;
  } finally {
    interrupt.dispose();
  }
}

function defaultFolder({ model, data }: TrainConfig): string {
  const name = (path: string): string => basename(path).replace(/\.(jsonl|json|gguf|gz)+$/g, "");
  return `runs/${name(model)}-${name(data.train)}`.replaceAll(/[^\w./-]+/g, "-");
}

function valueAt(config: unknown, key: string): string {
  let value: unknown = config;
  for (const part of key.split(".")) value = (value as Record<string, unknown>)[part];
  return JSON.stringify(value);
}

function planJson({ plan }: PreparedRun): Record<string, unknown> {
  const { summary } = plan;
  return {
    trainableParameters: summary.trainableParameters,
    totalParameters: summary.totalParameters,
    steps: summary.steps,
    stepsPerEpoch: summary.stepsPerEpoch,
    trainingReplies: summary.training.encoding.replies,
    trainingTokens: summary.training.folding.tokensAfter,
    foldingFactor: summary.training.folding.factor,
    memoryBytesEstimated: summary.memory.totalBytes,
  };
}

function describePlan({ plan, model, data }: PreparedRun, folder: string, output: Output): void {
  const { summary, config } = plan;
  const { training, validation, memory } = summary;
  output.line(
    `${bold("model")}   ${model.opened.name}, ${formatCount(summary.totalParameters - summary.trainableParameters)} parameters`,
  );
  output.line(
    `${bold("adapter")} LoRA rank ${config.lora.rank}, alpha ${config.lora.alpha}, dropout ${config.lora.dropout} on ${new Set(plan.layers.map(({ path }) => path.split(".").at(-1)!)).size} layers a block: trainable ${formatCount(summary.trainableParameters)} of ${formatCount(summary.totalParameters)} (${formatPercent(summary.trainableParameters / summary.totalParameters)})`,
  );
  output.line(
    `${bold("data")}    ${formatCount(training.encoding.replies)} replies in ${formatCount(training.folding.sequences)} sequences, ${formatCount(training.folding.tokensAfter)} tokens an epoch${training.folding.factor > 1.005 ? ` (folding reads ${training.folding.factor.toFixed(2)} times fewer)` : ""}; ${data.split}${validation === undefined ? "" : `: ${formatCount(validation.encoding.replies)} replies`}`,
  );
  const { shortenedRows, rejected } = training.encoding;
  if (shortenedRows > 0)
    output.line(
      `        ${formatCount(shortenedRows)} rows over ${summary.maxLength} tokens lost their oldest turns`,
    );
  if (rejected.length > 0)
    output.line(
      `        ${formatCount(rejected.length)} replies cannot be learned; the first: ${rejected[0]!.reason}`,
    );
  output.line(
    `${bold("run")}     ${formatCount(summary.steps)} steps of ${config.training.batch} replies, ${formatCount(summary.stepsPerEpoch)} an epoch; about ${formatBytes(memory.totalBytes)} of memory; ${folder}`,
  );
}

/** Shows events as they come and prints the result of the last. */
function trainingReporter({ plan }: PreparedRun, folder: string, output: Output): (event: RunEvent) => void {
  const began = performance.now();
  let firstStep: number | undefined;
  let evaluation = "";
  let loss: number | undefined;
  return (event) => {
    output.json({ ...event });
    switch (event.type) {
      case "step": {
        firstStep ??= event.step - 1;
        loss = loss === undefined ? event.loss : 0.9 * loss + 0.1 * event.loss;
        const seconds = (performance.now() - began) / 1000;
        const left = (seconds / (event.step - firstStep)) * (plan.steps - event.step);
        output.live(
          `step ${event.step}/${plan.steps}  loss ${loss.toFixed(4)}  norm ${event.gradientNorm.toFixed(2)}  ${Math.round(event.tokens / event.seconds)} tokens/s  ${formatDuration(left)} left${evaluation}`,
        );
        return;
      }
      case "evaluation":
        evaluation = `  validation ${event.validationLoss.toFixed(4)}`;
        output.line(
          `step ${event.step}: validation loss ${event.validationLoss.toFixed(4)}${event.best ? green(" (best so far)") : ` (no better; ${event.patienceLeft} more allowed)`}`,
        );
        return;
      case "warning":
        output.line(`warning: ${event.message}`);
        return;
      case "finished":
        finish(event, plan, folder, output);
        return;
      case "started":
      case "checkpoint":
    }
  };
}

function finish(
  event: Extract<RunEvent, { type: "finished" }>,
  plan: PreparedRun["plan"],
  folder: string,
  output: Output,
): void {
  output.json({
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
    peakBytes: event.peakBytes,
    seconds: event.seconds,
  });
  if (event.reason === "interrupted") {
    output.line(`Stopped at step ${event.step}. Go on with: attune train --resume ${folder}`);
    return;
  }
  if (event.reason === "early-stopped")
    output.line(`Stopped early: validation loss has not improved since step ${event.bestStep}.`);
  output.line(
    `${bold("done")}    validation loss ${event.validationLossBefore.toFixed(4)} → ${event.validationLossBest.toFixed(4)} (step ${event.bestStep}); ${Math.round(event.tokensPerSecond)} tokens/s; peak ${formatBytes(event.peakBytes)}; ${formatDuration(event.seconds)}`,
  );
  output.line(`        the adapter is in ${folder}/adapter; talk to it: attune chat ${folder}`);
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
