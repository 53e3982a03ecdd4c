/** Lines of a file of any size, one at a time; a line that is too long is told of, never held. */
import { createReadStream } from "node:fs";
import { explainReadError } from "./files.ts";

export interface BoundedLine {
  /** 1-based. */
  readonly line: number;
  /** Absent where the line is longer than is allowed. */
  readonly text?: string;
  /** The last line, without a line end: what a crash may leave. */
  readonly torn: boolean;
}

/** Yields every line that is not blank. Memory stays within `longest` characters and one chunk. */
export async function* readBoundedLines(path: string, longest: number): AsyncGenerator<BoundedLine> {
  const stream = createReadStream(path, { encoding: "utf8", highWaterMark: 1 << 18 });
  let [line, held, tooLong] = [1, "", false];
  const made = (torn: boolean): BoundedLine | undefined => {
    if (tooLong) return { line, torn };
    return held.trim() === "" ? undefined : { line, text: held, torn };
  };
  try {
    for await (const chunk of stream as AsyncIterable<string>) {
      let from = line === 1 && held === "" && chunk.startsWith("\uFEFF") ? 1 : 0;
      for (;;) {
        const end = chunk.indexOf("\n", from);
        const piece = chunk.slice(from, end === -1 ? undefined : end);
        if (tooLong || held.length + piece.length > longest) [held, tooLong] = ["", true];
        else held += piece;
        if (end === -1) break;
        const one = made(false);
        if (one !== undefined) yield one;
        [line, held, tooLong, from] = [line + 1, "", false, end + 1];
      }
    }
  } catch (error) {
    throw explainReadError(error, path, "the file");
  } finally {
    stream.destroy();
  }
  const last = made(true);
  if (last !== undefined) yield last;
}
