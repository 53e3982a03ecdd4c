/** The thread that runs the source stage: sends batches, never more than it was allowed to. */
import { createReadStream } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { UserError } from "../../util/index.ts";
import { type SourceSummary, type SourceTask, type StagedBatch, sourceStage } from "./source-stage.ts";

export interface WireError {
  readonly message: string;
  readonly stack: string | undefined;
  /** Present for a `UserError`. */
  readonly user?: { readonly at: string | undefined; readonly next: string | undefined };
}

/** From the thread. */
export type SourceMessage =
  | { readonly batch: StagedBatch }
  | { readonly summary: SourceSummary }
  | { readonly error: WireError };

/** To the thread: one more batch may be sent. */
export const MORE = "more";
/** Batches that may be under way: enough to keep both sides busy, few enough to bound memory. */
export const WINDOW = 8;

async function run(task: SourceTask): Promise<void> {
  const port = parentPort!;
  const credit = { batches: WINDOW };
  let wake: (() => void) | undefined;
  port.on("message", () => {
    credit.batches += 1;
    wake?.();
  });
  const send = (message: SourceMessage): void => port.postMessage(message, []);
  const usesStdin = task.sources.some(({ path }) => path === "-");
  // A thread has no `process.stdin` of its own; the file descriptor is the process's.
  const stages = sourceStage(task, usesStdin ? createReadStream("", { fd: 0, autoClose: false }) : undefined);
  try {
    for (;;) {
      const next = await stages.next();
      if (next.done === true) {
        send({ summary: next.value });
        break;
      }
      while (credit.batches === 0) await new Promise<void>((resolve) => (wake = resolve));
      credit.batches -= 1;
      send({ batch: next.value });
    }
  } catch (error) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    const user = error instanceof UserError ? { at: error.at, next: error.next } : undefined;
    send({ error: { message, stack, ...(user === undefined ? {} : { user }) } });
  }
  port.close();
}

// Imported for its types by the other side, where there is no task.
if (parentPort !== null && isTask(workerData)) void run(workerData.sourceTask);

function isTask(data: unknown): data is { readonly sourceTask: SourceTask } {
  return typeof data === "object" && data !== null && "sourceTask" in data;
}
