/**
 * JSON documents read in pieces: the elements of a top-level array, the members of one big object, the
 * elements of arrays inside a wrapping object, or values one after another. Never the whole document.
 */
import { formatCount } from "../../../util/index.ts";
import { parseJsonRow } from "./json-lines.ts";
import type { Row, RowParser, RowParserOptions } from "./rows.ts";

/**
 * `array`: […rows]. `members`: {"id": row, …}. `wrapped`: {"data": […rows], "version": …}.
 * `sequence`: row row row, each over several lines. `single`: the document is one row.
 */
export type DocumentShape = "array" | "members" | "wrapped" | "sequence" | "single";

/** Where the scanner stands: before a value, a key or a comma of a container; inside a value; looking for the next row. */
type State = "value" | "key" | "colon" | "comma" | "inside" | "lost" | "ended";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
const isOpen = (code: number): boolean => code === 0x7b || code === 0x5b;
const isClose = (code: number): boolean => code === 0x7d || code === 0x5d;

export function jsonDocumentParser(shape: DocumentShape, options: RowParserOptions): RowParser {
  /** Containers around rows that are open now: "[" or "{". */
  const around: ("[" | "{")[] = [];
  let state: State = "value";
  let line = 1;
  /** Offset, from the beginning of the document, of the first character of this line and of this piece. */
  let lineStart = 0;
  let pieceStart = 0;
  let rowNumber = 0;
  /** The value being read: its pieces, where it begins, how deep its brackets are, and of which kind it is. */
  let pieces: string[] = [];
  let held = 0;
  let from = 0;
  let place = { line: 1, column: 1 };
  let depth = 0;
  let inString = false;
  let escaped = false;
  let kind: "row" | "key" | "aside" | "tooLong" = "row";
  let isScalar = false;
  let key: string | undefined;
  /** Column of rows that begin their line: broken documents are taken up again there. */
  let rowIndent: number | undefined;
  let indent: number | undefined = 0;
  const asides: string[] = [];

  const bad = (rows: Row[], rule: string, reason: string, raw: string, at = place): void => {
    rowNumber += 1;
    rows.push({ row: rowNumber, ...at, rule, reason, raw: raw.slice(0, 2_000) });
  };

  const emit = (rows: Row[], raw: string): void => {
    if (kind === "key") {
      try {
        key = String(JSON.parse(raw));
      } catch {
        key = raw;
      }
      return;
    }
    if (kind === "aside") {
      if (asides.length < 10) asides.push(key ?? "?");
      return;
    }
    if (kind === "tooLong") {
      bad(
        rows,
        "row-too-long",
        `the row has more than ${formatCount(options.rowCharacters)} characters`,
        raw,
      );
      return;
    }
    rowNumber += 1;
    rows.push(
      parseJsonRow(
        raw,
        { ...place, row: rowNumber, ...(key === undefined ? {} : { key }) },
        options.damaged(),
      ),
    );
  };

  const begin = (at: number, absolute: number, what: typeof kind): void => {
    kind = what;
    from = at;
    place = { line, column: absolute - lineStart + 1 };
    depth = 0;
    inString = false;
    escaped = false;
    isScalar = false;
    pieces = [];
    held = 0;
    const beginsRow = what === (shape === "members" ? "key" : "row");
    if (beginsRow && indent !== undefined && around.length > 0) rowIndent = indent;
  };

  /** Whether a row may begin with `code` here: in an indented document nothing inside a row stands this far left. */
  const beginsHere = (code: number): boolean =>
    indent !== undefined &&
    indent === (rowIndent ?? 0) &&
    (around.at(-1) === "{" ? code === QUOTE : isOpen(code));

  const push = (text: string): Row[] => {
    const rows: Row[] = [];
    from = 0;
    let i = 0;
    while (i < text.length) {
      const code = text.charCodeAt(i);
      if (state === "inside") {
        if (inString) {
          if (escaped) escaped = false;
          else if (code === BACKSLASH) escaped = true;
          else if (code === QUOTE) {
            inString = false;
            if (depth === 0) {
              finish(text, i + 1, rows);
              i += 1;
              continue;
            }
          } else if (code === 0x0a && kind !== "tooLong") {
            lose(text, i, rows, "a line break inside a string: a closing quote is missing");
            continue;
          }
        } else if (isScalar) {
          if (isSpace(code) || code === 0x2c || isClose(code)) {
            finish(text, i, rows);
            continue;
          }
        } else if (indent !== undefined && (rowIndent ?? 0) > 0 && kind === "row" && beginsHere(code)) {
          takeUp(text, i, rows);
          continue;
        } else if (code === QUOTE) inString = true;
        else if (isOpen(code)) depth += 1;
        else if (isClose(code)) {
          depth -= 1;
          if (depth === 0) {
            finish(text, i + 1, rows);
            i += 1;
            continue;
          }
        }
      } else if (state === "lost") {
        if (beginsHere(code)) {
          state = around.at(-1) === "{" ? "key" : "value";
          continue;
        }
      } else if (!isSpace(code)) {
        i = outside(text, i, code, rows);
        indent = undefined;
        continue;
      }
      if (code === 0x0a) {
        line += 1;
        lineStart = pieceStart + i + 1;
        indent = 0;
      } else if (indent !== undefined) indent = code === 0x20 || code === 0x09 ? indent + 1 : undefined;
      i += 1;
    }
    if (state === "inside") keep(text.slice(from));
    pieceStart += text.length;
    return rows;
  };

  /** One character between rows; returns where to go on. */
  const outside = (text: string, i: number, code: number, rows: Row[]): number => {
    const container = around.at(-1);
    if (state === "ended") {
      place = { line, column: pieceStart + i - lineStart + 1 };
      begin(i, pieceStart + i, "row");
      bad(rows, "json-syntax", "text after the end of the JSON document", text.slice(i, i + 2_000));
      around.push("[");
      rowIndent = Number.POSITIVE_INFINITY;
      state = "lost";
      return i;
    }
    if (container !== undefined && isClose(code)) {
      around.pop();
      state = around.length === 0 ? "ended" : "comma";
      return i + 1;
    }
    if (state === "comma" && code === 0x2c) {
      state = container === "{" ? "key" : "value";
      return i + 1;
    }
    if (state === "colon" && code === 0x3a) {
      state = "value";
      return i + 1;
    }
    if (state === "value" || (state === "comma" && container === "[")) {
      const opensArray = code === 0x5b;
      if (around.length === 0 && shape === "array" && opensArray) return open("[", i);
      if (around.length === 0 && (shape === "members" || shape === "wrapped") && code === 0x7b)
        return open("{", i);
      if (around.length === 1 && shape === "wrapped" && container === "{" && opensArray) return open("[", i);
      if (code !== 0x2c) {
        begin(i, pieceStart + i, shape === "wrapped" && container === "{" ? "aside" : "row");
        return enter(i, code);
      }
      if (state === "value") {
        begin(i, pieceStart + i, "row");
        bad(rows, "json-syntax", "not valid JSON: nothing stands before this comma", "");
        return i + 1;
      }
    } else if ((state === "key" || state === "comma") && code === QUOTE) {
      begin(i, pieceStart + i, "key");
      return enter(i, code);
    }
    begin(i, pieceStart + i, "row");
    state = "inside";
    lose(text, i + 1, rows, `${JSON.stringify(text.charAt(i))} where a row should begin or end`);
    return i + 1;
  };

  const open = (container: "[" | "{", i: number): number => {
    around.push(container);
    state = container === "{" ? "key" : "value";
    return i + 1;
  };

  /** Into a value whose first character is `code`. */
  const enter = (i: number, code: number): number => {
    state = "inside";
    if (code === QUOTE) inString = true;
    else if (isOpen(code)) depth = 1;
    else isScalar = true;
    return i + 1;
  };

  const keep = (part: string): void => {
    held += part.length;
    if ((kind === "row" || kind === "key") && held > options.rowCharacters) kind = "tooLong";
    if (kind === "row" || kind === "key") pieces.push(part);
    else if (pieces.length === 0) pieces.push(part.slice(0, 2_000));
    else if (kind === "tooLong") pieces = [pieces.join("").slice(0, 2_000)];
    from = 0;
  };

  const finish = (text: string, end: number, rows: Row[]): void => {
    keep(text.slice(from, end));
    emit(rows, pieces.length === 1 ? pieces[0]! : pieces.join(""));
    if (kind !== "key") key = undefined;
    state = kind === "key" ? "colon" : around.length === 0 && shape !== "sequence" ? "ended" : "comma";
    if (around.length === 0 && shape === "sequence") state = "value";
    pieces = [];
    indent = undefined;
  };

  /** The row being read is broken: reject it, and look for the next one. */
  const lose = (text: string, end: number, rows: Row[], reason: string): void => {
    keep(text.slice(from, end));
    bad(
      rows,
      "json-syntax",
      `not valid JSON: ${reason}; reading goes on at the next line where a row begins`,
      pieces.join(""),
    );
    pieces = [];
    key = undefined;
    state = "lost";
  };

  /** A new row begins although the last one is still open. */
  const takeUp = (text: string, at: number, rows: Row[]): void => {
    keep(text.slice(from, at));
    bad(
      rows,
      "json-syntax",
      "not valid JSON: the next row begins before this one is closed",
      pieces.join(""),
    );
    pieces = [];
    key = undefined;
    state = around.at(-1) === "{" ? "key" : "value";
  };

  return {
    push,
    end() {
      const rows: Row[] = [];
      if (state === "inside" && isScalar && around.length === 0) finish("", 0, rows);
      else if (state === "inside") bad(rows, "json-cut", "the file ends inside this row", pieces.join(""));
      else if (around.length > 0 && state !== "lost") {
        const at = { line, column: pieceStart - lineStart + 1 };
        bad(
          rows,
          "json-cut",
          `the file ends before the document is closed: "${around.at(-1) === "[" ? "]" : "}"}" is missing`,
          "",
          at,
        );
      }
      if (asides.length > 0) {
        options.note(
          `fields beside the rows were not read as rows: ${asides.map((name) => `\`${name}\``).join(", ")}`,
        );
      }
      return rows;
    },
  };
}
