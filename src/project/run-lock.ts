/** One process a run folder: a file that names the process at work; that of a dead process counts for nothing. */
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { UserError, errorCode, explainWriteError } from "../util/index.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** Takes the folder, or throws a `UserError` that names the process which has it. Dispose to let go. */
export async function lockRun(folder: string): Promise<AsyncDisposable> {
  const path = join(folder, "run.lock");
  const self: Holder = { pid: process.pid, host: hostname() };
  for (let attempt = 0; ; attempt++) {
    try {
      const file = await open(path, "wx");
      try {
        await file.writeFile(JSON.stringify(self));
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      } finally {
        await file.close();
      }
      return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw explainWriteError(error, path);
    }
    const holder = await readHolder(path);
    if (attempt > 3 || (holder !== undefined && mayBeAlive(holder, self))) {
      const who = holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
      throw new UserError(`the run folder ${folder} is in use by ${who}`, {
        next: `Wait for it, choose another --out, or, if no such process runs, remove ${path}.`,
      });
    }
    await rm(path, { force: true });
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const holder = JSON.parse(await readFile(path, "utf8")) as Partial<Holder>;
    return typeof holder.pid === "number" && typeof holder.host === "string"
      ? { pid: holder.pid, host: holder.host }
      : undefined;
  } catch {
    // Gone meanwhile, or torn by a crash.
    return undefined;
  }
}

/** Processes of other machines cannot be asked. One's own number is that of a dead predecessor: a process locks once. */
function mayBeAlive({ pid, host }: Holder, self: Holder): boolean {
  if (host !== self.host) return true;
  if (pid === self.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}
