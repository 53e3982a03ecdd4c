/** An append-only file of JSON lines: what `append` has acknowledged is on disk and survives kill -9. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import {
  UserError,
  explainReadError,
  explainWriteError,
  lockFile,
  parseJson,
  syncFolder,
  makeFolder,
} from "../../util/index.ts";

export interface AppendLog {
  /** Resolves once the records, all of them, are on disk; rejects with none of them kept. */
  append(records: readonly unknown[]): Promise<void>;
  /** Waits for what is under way, then gives the file and its lock back. */
  close(): Promise<void>;
}

export interface OpenedLog {
  readonly log: AppendLog;
  /** What the file held, with 1-based lines. */
  readonly records: readonly { readonly value: unknown; readonly line: number }[];
  /** Bytes of a last line that was cut short and never acknowledged; they were removed. 0 as a rule. */
  readonly tornBytes: number;
}

/** Opens or creates the log for one writer. A second writer is refused. */
export async function openLog(path: string): Promise<OpenedLog> {
  let held: AsyncDisposable | undefined;
  const release = async (): Promise<void> => held?.[Symbol.asyncDispose]();
  let file: FileHandle | undefined;
  try {
    await makeFolder(dirname(path));
    held = await lockFile(`${path}.lock`, path, "choose another file with --ratings");
    file = await open(path, "a+");
    const { records, size, tornBytes, unended } = readRecords(await file.readFile(), path);
    if (tornBytes > 0) await file.truncate(size);
    if (unended) await file.appendFile("\n");
    await file.sync();
    await syncFolder(dirname(path));
    return { log: appender(file, unended ? size + 1 : size, path, release), records, tornBytes };
  } catch (error) {
    await file?.close();
    await release();
    throw explainWriteError(error, path);
  }
}

/** The records of a log that nobody needs to hold open. A torn last line is left out. */
export async function readLog(path: string, what: string): Promise<OpenedLog["records"]> {
  try {
    return readRecords(await readFile(path), path).records;
  } catch (error) {
    throw explainReadError(error, path, what);
  }
}

function readRecords(
  bytes: Buffer,
  path: string,
): { records: OpenedLog["records"]; size: number; tornBytes: number; unended: boolean } {
  let size = bytes.lastIndexOf(0x0a) + 1;
  const tail = bytes.subarray(size);
  // The newline is written last: a whole record without one is kept, anything else was never acknowledged.
  const unended = tail.length > 0 && isJson(tail.toString());
  if (unended) size = bytes.length;
  const records = bytes
    .subarray(0, size)
    .toString()
    .split("\n")
    .map((text, i) => ({ text, line: i + 1 }))
    .filter(({ text }) => text.trim() !== "")
    .map(({ text, line }) => ({ value: parseJson(text, `${path}:${line}`), line }));
  return { records, size, tornBytes: bytes.length - size, unended };
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
}

/** What an appender asks of a file. */
export type AppendFile = Pick<FileHandle, "appendFile" | "datasync" | "truncate" | "close">;

/** Appends that arrive while one is being written share the next write and its fsync: 20 raters cost one. */
export function appender(
  file: AppendFile,
  start: number,
  path: string,
  release: () => Promise<void>,
): AppendLog {
  interface Waiting {
    readonly text: string;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }
  let size = start;
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;
  let closed = false;
  let broken = false;
  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const bytes = Buffer.from(batch.map((entry) => entry.text).join(""));
      try {
        await file.appendFile(bytes);
        await file.datasync();
        size += bytes.length;
        for (const entry of batch) entry.resolve();
      } catch (error) {
        // Half a batch must not stay: its raters are told that nothing was saved, and will send it again.
        await file.truncate(size).catch(() => {
          broken = true;
        });
        const explained = explainWriteError(error, path);
        for (const entry of batch) entry.reject(explained);
      }
    }
    running = undefined;
  };
  return {
    append: async (records) => {
      if (closed) throw new Error("the log is closed");
      if (broken) {
        throw new UserError(`${path} can no longer be written: half a record stands at its end`, {
          next: "Free some space and start `attune rate` again; it mends the file.",
        });
      }
      const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
      const done = new Promise<void>((resolve, reject) => {
        waiting.push({ text, resolve, reject });
      });
      running ??= drain();
      await done;
    },
    close: async () => {
      if (closed) return;
      closed = true;
      await running;
      await file.close();
      await release();
    },
  };
}
