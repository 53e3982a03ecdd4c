/** One process at a time: a lock file that its holder keeps fresh, and that is taken over when the holder is gone. */
import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CancelledError, errorCode, explainWriteError, makeFolder } from "../../util/index.ts";

export interface LockOptions {
  readonly signal?: AbortSignal;
  /** Told once, when another process holds the lock. */
  readonly onWait?: () => void;
  /** Milliseconds between looks. */
  readonly poll?: number;
  /** A lock that was not refreshed for this long is dead, milliseconds. */
  readonly stale?: number;
}

/** Waits for the lock; returns its release. */
export async function acquireLock(path: string, options: LockOptions = {}): Promise<() => Promise<void>> {
  const stale = options.stale ?? 60_000;
  const mark = `${process.pid} ${hostname()} ${randomBytes(8).toString("hex")}`;
  let waited = false;
  for (;;) {
    if (await tryCreate(path, mark)) return holder(path, mark, stale);
    if (await isDead(path, stale)) continue;
    if (!waited) options.onWait?.();
    waited = true;
    await sleep(
      options.poll ?? 500,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    ).catch(() => {
      throw new CancelledError("waiting for another download");
    });
  }
}

async function tryCreate(path: string, mark: string): Promise<boolean> {
  try {
    await makeFolder(dirname(path));
    const file = await open(path, "wx");
    try {
      await file.writeFile(mark);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw explainWriteError(error, path);
  }
}

/** Removes the lock of a holder that is gone. `true`: worth trying again at once. */
async function isDead(path: string, stale: number): Promise<boolean> {
  const [held, found] = await Promise.all([
    readFile(path, "utf8").catch(() => undefined),
    stat(path).catch(() => undefined),
  ]);
  if (held === undefined || found === undefined) return true;
  const [pid, host] = held.split(" ");
  const gone = host === hostname() && pid !== undefined && /^\d+$/.test(pid) && !isAlive(Number(pid));
  if (!gone && Date.now() - found.mtimeMs < stale) return false;
  // Renamed before removal, so that of two takers only one removes, and a fresh lock is recognised and given back.
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await rename(path, aside);
  } catch {
    return true;
  }
  const moved = await readFile(aside, "utf8").catch(() => undefined);
  if (moved === held) await rm(aside, { force: true });
  else await rename(aside, path).catch(() => {});
  return moved === held;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

function holder(path: string, mark: string, stale: number): () => Promise<void> {
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, stale / 6);
  timer.unref();
  return async () => {
    clearInterval(timer);
    // Only our own: a lock that was taken over is another's.
    if ((await readFile(path, "utf8").catch(() => undefined)) === mark) await rm(path, { force: true });
  };
}
