/** One process a run folder. */
import { join } from "node:path";
import { lockFile } from "../util/index.ts";

/** Takes the folder, or throws a `UserError` that names the process which has it. Dispose to let go. */
export async function lockRun(folder: string): Promise<AsyncDisposable> {
  return lockFile(join(folder, "run.lock"), `the run folder ${folder}`, "choose another --out");
}
