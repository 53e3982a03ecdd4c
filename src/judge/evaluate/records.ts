/** What an evaluation has already found out, as JSON lines that survive a kill: appended, keyed, never twice. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import {
  errorCode,
  explainReadError,
  explainWriteError,
  writeFileAtomic,
  makeFolder,
} from "../../util/index.ts";

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
  /** With the system when the promise resolves, so that a kill costs nothing; a second record of one key is a defect of the caller. */
  append(record: R): Promise<void>;
  /** Records that stood in the file but belong to other settings; they are kept in `earlierPath`. */
  readonly setAside: number;
}

const keyOf = ({ id, system, fingerprint }: RecordKey): string => JSON.stringify([id, system, fingerprint]);

/** Beside a.jsonl, a.earlier.jsonl: what other questions were answered with, and comes back when they are asked again. */
export const earlierPath = (path: string): string => path.replace(/(\.\w+)?$/, ".earlier$1");

/**
 * Opens `path` (made where it is missing). Lines that `wanted` refuses go to the file of earlier records, and wanted ones
 * come back from there; repeated ones and a torn last line are dropped. One process at a time may have it open.
 */
export async function openRecords<R extends RecordKey>(
  path: string,
  wanted: (value: R) => boolean,
): Promise<Records<R>> {
  const [here, earlier] = await Promise.all([path, earlierPath(path)].map(readOrEmpty));
  const keys = new Set<string>();
  const kept: { line: string; record: R }[] = [];
  const aside: string[] = [];
  let setAside = 0;
  for (const text of [here!, earlier!]) {
    const lines = text.split("\n");
    // What a crash may have cut off stands after the last line end.
    for (const line of lines.slice(0, -1)) {
      const record = parsed<R>(line);
      if (record === undefined || keys.has(keyOf(record))) continue;
      keys.add(keyOf(record));
      if (wanted(record)) kept.push({ line, record });
      else {
        aside.push(line);
        if (text === here) setAside += 1;
      }
    }
  }
  for (const line of aside) keys.delete(keyOf(parsed<R>(line)!));
  // First the file that gains: a kill between the two leaves a record in both, never in none.
  const clean = kept.map(({ line }) => `${line}\n`).join("");
  const rest = aside.map((line) => `${line}\n`).join("");
  if (setAside > 0) await replace(earlierPath(path), earlier!, rest);
  await replace(path, here!, clean);
  if (setAside === 0) await replace(earlierPath(path), earlier!, rest);
  const records = kept.map(({ record }) => record);
  let file: FileHandle | undefined;
  return {
    setAside,
    all: () => records,
    has: (key) => keys.has(keyOf(key)),
    append: async (record) => {
      const key = keyOf(record);
      if (keys.has(key)) throw new Error(`the record ${key} is there already`);
      try {
        if (file === undefined) {
          await makeFolder(dirname(path));
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

async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return "";
    throw explainReadError(error, path, "the records");
  });
}

async function replace(path: string, before: string, after: string): Promise<void> {
  if (after !== before) await writeFileAtomic(path, after);
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
