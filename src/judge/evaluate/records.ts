/** What an evaluation has already found out, as JSON lines that survive a kill: appended, keyed, never twice. */
import { type FileHandle, mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode, explainReadError, explainWriteError, writeFileAtomic } from "../../util/index.ts";

/** What names a record: the item, the system, and a hash of all that decides the outcome. */
export interface RecordKey {
  readonly id: string;
  readonly system: string;
  readonly fingerprint: string;
}

export interface Records<R extends RecordKey> extends AsyncDisposable {
  /** The records that are wanted and there, in the order in which they came. */
  all(): readonly R[];
  has(key: RecordKey): boolean;
  /** On disk when the promise resolves; a second record of one key is a defect of the caller. */
  append(record: R): Promise<void>;
  /** Records that stood in the file but belong to other settings; they were dropped. */
  readonly dropped: number;
}

const keyOf = ({ id, system, fingerprint }: RecordKey): string => JSON.stringify([id, system, fingerprint]);

/**
 * Opens `path` (made where it is missing). Lines that `wanted` refuses, repeated ones and a torn last line are dropped
 * from the file before anything is added.
 */
export async function openRecords<R extends RecordKey>(
  path: string,
  wanted: (value: R) => boolean,
): Promise<Records<R>> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return "";
    throw explainReadError(error, path, "the records");
  });
  const lines = text.split("\n");
  const kept: { line: string; record: R }[] = [];
  const keys = new Set<string>();
  let dropped = 0;
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const record = parsed<R>(line);
    const complete = index < lines.length - 1;
    if (record === undefined || !complete || keys.has(keyOf(record)) || !wanted(record)) {
      dropped += record === undefined || !complete ? 0 : 1;
      continue;
    }
    keys.add(keyOf(record));
    kept.push({ line, record });
  }
  const clean = kept.map(({ line }) => `${line}\n`).join("");
  if (clean !== text) await writeFileAtomic(path, clean);
  const records = kept.map(({ record }) => record);
  let file: FileHandle | undefined;
  return {
    dropped,
    all: () => records,
    has: (key) => keys.has(keyOf(key)),
    append: async (record) => {
      const key = keyOf(record);
      if (keys.has(key)) throw new Error(`the record ${key} is there already`);
      try {
        if (file === undefined) {
          await mkdir(dirname(path), { recursive: true });
          file = await open(path, "a");
        }
        await file.appendFile(`${JSON.stringify(record)}\n`);
      } catch (error) {
        throw explainWriteError(error, path);
      }
      keys.add(key);
      records.push(record);
    },
    [Symbol.asyncDispose]: async () => {
      await file?.sync().catch(() => {});
      await file?.close();
    },
  };
}

function parsed<R extends RecordKey>(line: string): R | undefined {
  try {
    const value = JSON.parse(line) as Partial<RecordKey> | null;
    const complete =
      typeof value === "object" &&
      value !== null &&
      typeof value.id === "string" &&
      typeof value.system === "string" &&
      typeof value.fingerprint === "string";
    return complete ? (value as R) : undefined;
  } catch {
    return undefined;
  }
}
