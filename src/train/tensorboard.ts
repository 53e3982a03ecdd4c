/** The events of a run as TensorBoard shows them, written beside events.jsonl while the run goes on. */
import { type FileHandle, open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { explainWriteError, makeFolder } from "../util/index.ts";
import type { RunEvent } from "./events.ts";
import { sessionEnd, sessionStart } from "./tensorboard-hparams.ts";
import { type SummaryValue, eventRecord, restartRecord, versionRecord } from "./tensorboard-format.ts";

export interface TensorboardLog extends AsyncDisposable {
  add(event: RunEvent): Promise<void>;
}

export interface TensorboardOptions {
  /** Shown as a table when the run starts, and compared between runs by the hparams plugin. */
  readonly hyperParameters: ReadonlyMap<string, unknown>;
  /** Steps done when the run was resumed: what an earlier process told of later steps is void. */
  readonly resumedAt?: number;
}

/** Readers take files by name: milliseconds, all three digits, keep two processes of one second in order. */
export function eventFileName(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const rest = String(milliseconds % 1000).padStart(3, "0");
  return `events.out.tfevents.${seconds}.${rest}.${hostname()}.${process.pid}`;
}

/** Opens a file of its own in `folder`, as each process of a run does; readers join them by time. */
export async function tensorboardLog(folder: string, options: TensorboardOptions): Promise<TensorboardLog> {
  let file: FileHandle;
  let path = folder;
  const now = (): number => Date.now() / 1000;
  const write = async (...records: readonly Uint8Array[]): Promise<void> => {
    try {
      for (const record of records) await file.appendFile(record);
    } catch (error) {
      throw explainWriteError(error, path);
    }
  };
  try {
    await makeFolder(folder);
    path = join(folder, eventFileName(Date.now()));
    file = await open(path, "ax");
  } catch (error) {
    throw explainWriteError(error, path);
  }
  await write(versionRecord(now()));
  if (options.resumedAt !== undefined) await write(restartRecord(now(), options.resumedAt + 1));
  // What the first process told of them is void where the run starts over.
  if ((options.resumedAt ?? -1) < 0) {
    const text = hyperParameterTable(options.hyperParameters);
    const values: SummaryValue[] = [
      { kind: "text", tag: "hyper-parameters", text },
      ...sessionStart(options.hyperParameters, now()),
    ];
    await write(eventRecord({ wallTime: now(), step: 0, values }));
  }
  return {
    add: async (event) => {
      const values = summariesOf(event);
      if (values.length > 0 && "step" in event)
        await write(eventRecord({ wallTime: now(), step: event.step, values }));
      if (event.type === "finished" && event.reason !== "interrupted")
        await write(eventRecord({ wallTime: now(), step: event.step, values: [sessionEnd(now())] }));
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** What each kind of event contributes. */
export function summariesOf(event: RunEvent): readonly SummaryValue[] {
  const scalar = (tag: string, value: number): SummaryValue => ({ kind: "scalar", tag, value });
  const text = (tag: string, content: string): SummaryValue => ({ kind: "text", tag, text: content });
  switch (event.type) {
    case "step":
      return [
        scalar("loss/train", event.loss),
        scalar("learning_rate", event.learningRate),
        scalar("gradient_norm", event.gradientNorm),
        scalar("tokens_per_second", event.seconds > 0 ? event.tokens / event.seconds : 0),
        scalar("memory/peak_bytes", event.peakBytes),
        ...(event.noiseScale === undefined ? [] : [scalar("gradient_noise_scale", event.noiseScale)]),
        ...(event.lossScale === undefined ? [] : [scalar("loss_scale", event.lossScale)]),
      ];
    case "skipped":
      return [scalar("loss_scale", event.lossScale), scalar("skipped_steps", event.skippedSteps)];
    case "evaluation":
      return [scalar("loss/validation", event.validationLoss)];
    case "gradients":
      return [{ kind: "histogram", tag: "gradient_norm/by_layer", values: Object.values(event.norms) }];
    case "probe":
      return event.replies.map(({ prompt, reply, reference }, index) =>
        text(
          `replies/${index + 1}`,
          `**customer** ${quoted(prompt)}\n\n**model** ${quoted(reply)}\n\n**data** ${quoted(reference)}`,
        ),
      );
    case "warning":
      return [text(`warnings/${event.code}`, quoted(event.message))];
    case "started":
    case "prediction":
    case "checkpoint":
    case "finished":
      return [];
  }
}

function hyperParameterTable(parameters: ReadonlyMap<string, unknown>): string {
  const rows = [...parameters].map(([key, value]) => `| ${key} | ${quoted(JSON.stringify(value) ?? "")} |`);
  return ["| setting | value |", "|---|---|", ...rows].join("\n");
}

/** Text that Markdown shows as it is. */
function quoted(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]()#+\-!|<>]/g, String.raw`\$&`).replaceAll("\n", " ");
}
