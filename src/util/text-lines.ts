/** Lines of a UTF-8 text file of any size (`.gz` is unpacked): what is not UTF-8 or has no end is an error, never guessed at. */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { UserError, errorMessage } from "./errors.ts";
import { explainReadError } from "./files.ts";

export interface TextLine {
  /** Without its end, `\n` or `\r\n`; without the file's byte-order mark. */
  readonly text: string;
  /** 1-based. */
  readonly line: number;
}

// A longer line is no text and no record, but a file of another kind.
const longestBytes = 10_000_000;

/** Lines end at `\n` alone: readline would also end them at `\r` and, in some releases of Node, at U+2028. `what` names the file in errors. */
export async function* readTextLines(path: string, what = "the file"): AsyncGenerator<TextLine> {
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  const source: Readable = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  file.once("error", (error) => source.destroy(error));
  let held: Buffer[] = [];
  let heldBytes = 0;
  let line = 0;
  const take = (end: Buffer): TextLine => {
    const bytes = held.length === 0 ? end : Buffer.concat([...held, end]);
    [held, heldBytes, line] = [[], 0, line + 1];
    return { text: decoded(bytes, path, line), line };
  };
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      let from = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
        yield take(chunk.subarray(from, end));
        from = end + 1;
      }
      const rest = chunk.subarray(from);
      heldBytes += rest.length;
      if (rest.length > 0) held.push(rest);
      if (heldBytes > longestBytes) {
        throw new UserError(`a line of more than ${longestBytes} bytes`, {
          at: `${path}:${line + 1}`,
          next: "Name a file with one text or one JSON object a line.",
        });
      }
    }
    if (heldBytes > 0) yield take(Buffer.alloc(0));
  } catch (error) {
    const explained = explainReadError(error, path, what);
    if (error instanceof UserError || explained !== error) throw explained;
    throw new UserError(`cannot read ${path}: ${errorMessage(error)}`, {
      next: "Fetch or pack the file again.",
      cause: error,
    });
  } finally {
    file.destroy();
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decoded(bytes: Buffer, path: string, line: number): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new UserError("not valid UTF-8", {
      at: `${path}:${line}`,
      next: "Save the file as UTF-8, or mend this line.",
    });
  }
  if (line === 1 && text.startsWith("\uFEFF")) text = text.slice(1);
  return text.endsWith("\r") ? text.slice(0, -1) : text;
}
