/** The source stage at hand: in a thread of its own for much data, in this one for little. */
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { Worker } from "node:worker_threads";
import { UserError } from "../../util/index.ts";
import { type SourceSummary, type SourceTask, type StagedBatch, sourceStage } from "./source-stage.ts";
import { MORE, type SourceMessage, type WireError } from "./source-thread.ts";

export type SourceStage = AsyncGenerator<StagedBatch, SourceSummary>;

/** Below this a thread costs more than it saves. */
const THREAD_BYTES = 4 * 2 ** 20;

export async function openSourceStage(
  task: SourceTask,
  options: { readonly threads?: boolean | undefined; readonly stdin?: Readable | undefined },
): Promise<SourceStage> {
  // A stream cannot be sent to a thread.
  const threads = options.stdin === undefined && (options.threads ?? (await isMuch(task)));
  return threads ? stageInThread(task) : sourceStage(task, options.stdin);
}

async function isMuch(task: SourceTask): Promise<boolean> {
  for (const { path } of task.sources) {
    const found = await stat(path).catch(() => undefined);
    // A folder, a pattern or standard input may hold anything.
    if (found === undefined || !found.isFile() || found.size > THREAD_BYTES) return true;
  }
  return false;
}

async function* stageInThread(task: SourceTask): SourceStage {
  const worker = startThread({ sourceTask: task });
  const arrived: SourceMessage[] = [];
  let wake: (() => void) | undefined;
  const put = (message: SourceMessage): void => {
    arrived.push(message);
    wake?.();
  };
  const died = (message: string): void => put({ error: { message, stack: undefined } });
  worker.on("message", put);
  worker.on("error", (error) => died(`the reading thread failed: ${error.message}`));
  worker.on("exit", (code) => died(`the reading thread ended early (exit code ${code})`));
  try {
    for (;;) {
      while (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const message = arrived.shift()!;
      if ("summary" in message) return message.summary;
      if ("error" in message) throw revive(message.error);
      yield message.batch;
      worker.postMessage(MORE, []);
    }
  } finally {
    await worker.terminate();
  }
}

function revive(wire: WireError): Error {
  const error = wire.user === undefined ? new Error(wire.message) : new UserError(wire.message);
  // The message already names place and next step.
  error.message = wire.message;
  if (wire.user !== undefined) Object.assign(error, wire.user);
  else if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

/** In a checkout the thread's file is TypeScript, which Node 20 cannot read: a line of JavaScript registers tsx first. */
function startThread(workerData: unknown): Worker {
  if (!import.meta.url.endsWith(".ts")) {
    return new Worker(new URL("./source-thread.js", import.meta.url), { workerData });
  }
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const file = JSON.stringify(new URL("./source-thread.ts", import.meta.url).href);
  const start = `import(${tsx}).then(({ register }) => { register(); return import(${file}); });`;
  return new Worker(start, { eval: true, workerData });
}
