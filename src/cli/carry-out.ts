/** A planned run carried out on the screen: what `attune train` and `attune pretrain` have in common. */
import {
  type PreparedRun,
  type PrepareRunOptions,
  type Resolved,
  type RunTime,
  leafKeys,
  measureRunTime,
  refuseWithoutMemory,
  runTraining,
} from "../project/index.ts";
import type { RunEvent } from "../train/index.ts";
import { CancelledError, UserError } from "../util/index.ts";
import { settingText } from "./from-finding.ts";
import { hubReporter } from "./hub-events.ts";
import { interruptSignal, interruptedExitCode } from "./interrupt.ts";
import { type Output, bold, dim } from "./terminal.ts";
import { describePlan, planJson, trainingScreen } from "./train-screen.ts";

export interface CarryOutOptions {
  /** Reads, opens and plans; nothing is written by it. */
  readonly prepare: (options: PrepareRunOptions) => Promise<PreparedRun>;
  /** What was asked for, for `--dry-run`, and where each value came from. */
  readonly resolved: Resolved<object>;
  /** The run's folder. */
  readonly folder: string;
  readonly resume: boolean;
  readonly memoryCheck: boolean;
  readonly dryRun: boolean;
  /** Shown below the plan. */
  readonly lines?: readonly string[];
}

/** Returns the exit code. */
export async function carryOut(options: CarryOutOptions, output: Output): Promise<number> {
  const { resolved, folder } = options;
  const interrupt = interruptSignal(() =>
    output.notice("Stopping after this step; a checkpoint is saved. Once more to stop at once."),
  );
  try {
    await using prepared = await options.prepare({
      notice: output.notice,
      onEvent: hubReporter(output),
      signal: interrupt.signal,
      origins: resolved.origins,
      ...(options.resume ? { resumed: folder } : {}),
    });
    const refusal = options.memoryCheck ? memoryRefusal(prepared) : undefined;
    const measures = options.dryRun && refusal === undefined;
    const time = measures ? await measuredTime(prepared, output) : undefined;
    describePlan(prepared, folder, output, time);
    for (const line of options.lines ?? []) output.line(`${bold("change".padEnd(8))}${line}`);
    if (options.dryRun) {
      const { config, choice } = prepared.plan;
      for (const key of leafKeys(resolved.config)) {
        const automatic = choice.origins.get(key);
        const value = settingText(automatic === undefined ? resolved.config : config, key);
        output.line(dim(`  ${key} = ${value} (${automatic ?? resolved.origins.get(key) ?? "default"})`));
      }
      output.json({
        type: "result",
        run: folder,
        ...planJson(prepared, time),
        config: resolved.config,
        chosen: choice.settings,
      });
    }
    if (refusal !== undefined) throw refusal;
    if (options.dryRun) return 0;
    const show = trainingScreen(prepared, folder, output);
    let last: RunEvent | undefined;
    for await (const event of runTraining(prepared, {
      origins: resolved.origins,
      folder,
      resume: options.resume,
      signal: interrupt.signal,
      notice: output.notice,
      onWeight: (done, total) => output.live(`reading weights ${done} of ${total}`),
    })) {
      show(event);
      last = event;
    }
    if (last?.type === "finished" && last.reason === "interrupted") return interruptedExitCode;
    const whole = prepared.plan.adapter === undefined;
    output.line(
      `        the ${whole ? `model is in ${folder}/model` : `adapter is in ${folder}/adapter`}; talk to it: attune chat ${folder}`,
    );
    return 0;
  } catch (error) {
    // Interrupted before the first step: there is nothing to keep.
    if (interrupt.signal.aborted && error === interrupt.signal.reason) throw new CancelledError("training");
    throw error;
  } finally {
    interrupt.dispose();
  }
}

/** Why the run is not begun, where it does not fit into memory. */
function memoryRefusal(prepared: PreparedRun): UserError | undefined {
  try {
    refuseWithoutMemory(prepared);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

/** Seconds of the run, by a second or two of measuring; a plan is shown without them where that is refused. */
async function measuredTime(prepared: PreparedRun, output: Output): Promise<RunTime | undefined> {
  output.live("measuring how fast this machine trains");
  try {
    return await measureRunTime(prepared);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    output.notice(`the time of a step is not known: ${error.message}`);
    return undefined;
  } finally {
    output.clear();
  }
}
