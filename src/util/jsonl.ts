/** JSON and JSON lines, with the line and column of what is wrong. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { UserError, errorMessage } from "./errors.ts";
import { explainReadError } from "./files.ts";
import { excerpt } from "./format.ts";

export interface JsonLine {
  readonly value: unknown;
  /** 1-based line in the file. */
  readonly line: number;
}

/** Parses `text`; a syntax error is a `UserError` whose place is `at` with line and column where the engine tells them. */
export function parseJson(text: string, at: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const offset = /position (\d+)/.exec(errorMessage(error))?.[1];
    const column =
      offset === undefined
        ? ""
        : `:${text.slice(0, Number(offset)).length - text.lastIndexOf("\n", Number(offset) - 1)}`;
    throw new UserError(`not valid JSON: ${excerpt(text, 60)}`, {
      at: `${at}${column}`,
      next: "Mend or remove this line.",
      cause: error,
    });
  }
}

/** Yields the values of a JSON-lines file (`.gz` is unpacked), skipping blank lines. A broken line throws. */
export async function* readJsonLines(path: string): AsyncGenerator<JsonLine> {
  const file = createReadStream(path);
  const source: Readable = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  const failed = new Promise<never>((_, reject) => {
    file.once("error", (error) => reject(explainReadError(error, path, "the file")));
    source.once("error", (error: Error) =>
      reject(new UserError(`cannot unpack ${path}: ${error.message}`, { cause: error })),
    );
  });
  failed.catch(() => {});
  const lines = createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY })[
    Symbol.asyncIterator
  ]();
  let number = 0;
  try {
    for (;;) {
      const next = await Promise.race([lines.next(), failed]);
      if (next.done === true) return;
      number += 1;
      const text = number === 1 ? next.value.replace(/^\uFEFF/, "") : next.value;
      if (text.trim() !== "") yield { value: parseJson(text, `${path}:${number}`), line: number };
    }
  } finally {
    file.destroy();
  }
}
