/** A file of replies that grows line by line: what a killed run left counts, a torn last line goes, nothing is there twice. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Prediction, predictionSchema } from "../judge/rate/index.ts";
import {
  UserError,
  errorCode,
  explainReadError,
  explainWriteError,
  parseJson,
  makeFolder,
} from "../util/index.ts";

/** One line: what raters and metrics read, and how the reply came about. */
export interface PredictionLine extends Prediction {
  readonly stoppedBy: string;
  readonly replyTokens: number;
  /** Equal for replies of one model under one set of options. */
  readonly settings: string;
}

export interface PredictionsFile extends AsyncDisposable {
  /** Ids that were there when the file was opened. */
  readonly done: ReadonlySet<string>;
  append(line: PredictionLine): Promise<void>;
}

/** Opens or makes `path`. Replies made with other settings, or lines that are no replies, are a `UserError`. */
export async function openPredictions(path: string, settings: string): Promise<PredictionsFile> {
  const content = await readFile(path).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return Buffer.alloc(0);
    throw explainReadError(error, path, "the output");
  });
  // Lines end with a line break: what follows the last one was cut short by a crash.
  const whole = content.subarray(0, content.lastIndexOf(10) + 1);
  const done = new Set<string>();
  for (const [index, text] of whole.toString("utf8").split("\n").slice(0, -1).entries()) {
    done.add(readLine(text, `${path}:${index + 1}`, path, settings));
  }
  const file = await openForWriting(path, whole.length);
  let size = whole.length;
  return {
    done,
    append: async (line) => {
      const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
      try {
        await file.write(bytes, 0, bytes.length, size);
        size += bytes.length;
      } catch (error) {
        await file.truncate(size).catch(() => {});
        throw explainWriteError(error, path);
      }
    },
    [Symbol.asyncDispose]: async () => {
      await file.sync().catch(() => {});
      await file.close();
    },
  };
}

function readLine(text: string, at: string, path: string, settings: string): string {
  const value = parseJson(text, at) as Partial<PredictionLine> | null;
  const known = predictionSchema.safeParse(value);
  if (!known.success || typeof value?.settings !== "string") {
    throw new UserError(`${path} is not a file of generated replies`, {
      at,
      next: "Choose another --output; this file is left as it is.",
    });
  }
  if (value.settings !== settings) {
    throw new UserError(`${path} holds replies of another model or other options`, {
      at,
      next: "Run with the same model and options to go on, or choose another --output.",
    });
  }
  return known.data.id;
}

async function openForWriting(path: string, size: number): Promise<FileHandle> {
  try {
    await makeFolder(dirname(path));
    const file = await open(path, "r+").catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return open(path, "wx+");
      throw error;
    });
    await file.truncate(size);
    return file;
  } catch (error) {
    throw explainWriteError(error, path);
  }
}
