/** JSON and JSON lines, with the line and column of what is wrong. */
import { UserError, errorMessage } from "./errors.ts";
import { excerpt } from "./format.ts";
import { readTextLines } from "./text-lines.ts";

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
  for await (const { text, line } of readTextLines(path))
    if (text.trim() !== "") yield { value: parseJson(text, `${path}:${line}`), line };
}
