/** A process that trains and may kill itself: after a time, or right after its nth operation on the file system. */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import type { TrainConfig } from "./schema.ts";

/** The one argument, as JSON. */
export interface KilledRun {
  readonly config: TrainConfig;
  readonly folder: string;
  readonly resume: boolean;
  readonly killAfterOperations?: number;
  readonly killAfterMilliseconds?: number;
}

const request = JSON.parse(process.argv[2]!) as KilledRun;
let operations = 0;

/** Counts every call that changes a file or folder; the deadly one has just taken place when the process ends. */
function countOperations(): void {
  const target = fs as unknown as Record<string, (...values: unknown[]) => Promise<unknown>>;
  for (const name of ["open", "rename", "rm", "mkdir", "appendFile", "truncate"]) {
    const original = target[name]!;
    target[name] = async (...values) => {
      const result = await original(...values);
      if (name === "open" && (values[1] ?? "r") === "r") return result;
      operations += 1;
      if (operations === request.killAfterOperations) process.kill(process.pid, "SIGKILL");
      return result;
    };
  }
  syncBuiltinESMExports();
}

countOperations();
const { prepareRun, runTraining } = await import("./train-run.ts");
if (request.killAfterMilliseconds !== undefined)
  setTimeout(() => process.kill(process.pid, "SIGKILL"), request.killAfterMilliseconds);
await using prepared = await prepareRun(request.config);
// The first operation that counts is the run's own.
operations = 0;
const { folder, resume } = request;
const notices: string[] = [];
const notice = (message: string): void => void notices.push(message);
for await (const _ of runTraining(prepared, { folder, resume, origins: new Map(), notice }));
process.stdout.write(`${JSON.stringify({ operations, notices })}\n`);
