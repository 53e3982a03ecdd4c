/** One process at a time: a file that names the process at work; that of a dead process counts for nothing. */
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { UserError, errorCode } from "./errors.ts";
import { explainWriteError } from "./files.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** Paths that this process holds: a lock with its own number is else that of a dead predecessor. */
const held = new Set<string>();

/**
 * Makes the file `path`, or throws a `UserError` that names the process which has made it. Dispose to let go.
 * `what` is in use, as the error says; `next` is what else to do than to wait.
 */
export async function lockFile(path: string, what: string, next: string): Promise<AsyncDisposable> {
  const self: Holder = { pid: process.pid, host: hostname() };
  const name = resolve(path);
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
      held.add(name);
      return {
        [Symbol.asyncDispose]: async () => {
          held.delete(name);
          await rm(path, { force: true });
        },
      };
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw explainWriteError(error, path);
    }
    const holder = await readHolder(path);
    if (attempt > 3 || (holder !== undefined && mayBeAlive(holder, self, name))) {
      const who = holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
      throw new UserError(`${what} is in use by ${who}`, {
        next: `Wait for it, ${next}, or, if no such process runs, remove ${path}.`,
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

/** Processes of other machines cannot be asked. */
function mayBeAlive({ pid, host }: Holder, self: Holder, name: string): boolean {
  if (host !== self.host) return true;
  if (pid === self.pid) return held.has(name);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}
