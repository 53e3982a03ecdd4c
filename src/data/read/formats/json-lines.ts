/** JSON lines: one JSON value a line; a broken line costs itself only. */
import { formatCount } from "../../../util/index.ts";
import { findJsonFault } from "./json-error.ts";
import { invalidBytes, type Row, type RowParser, type RowParserOptions } from "./rows.ts";

export function jsonLinesParser(options: RowParserOptions): RowParser {
  let line = 0;
  /** Pieces of a line that has not ended, and how many characters they hold. */
  let pieces: string[] = [];
  let held = 0;
  let tooLong = false;

  const finish = (text: string, rows: Row[]): void => {
    line += 1;
    const raw = text.endsWith("\r") ? text.slice(0, -1) : text;
    if (tooLong || raw.length > options.rowCharacters) {
      tooLong = false;
      rows.push({
        line,
        rule: "row-too-long",
        reason: `the line has more than ${formatCount(options.rowCharacters)} characters`,
        raw: raw.slice(0, 2_000),
      });
    } else if (raw.trim() !== "") rows.push(parseJsonRow(raw, { line }, options.damaged()));
  };

  return {
    push(text) {
      const rows: Row[] = [];
      let start = 0;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
        const tail = text.slice(start, end);
        finish(pieces.length === 0 ? tail : pieces.join("") + tail, rows);
        pieces = [];
        held = 0;
        start = end + 1;
      }
      if (start < text.length) {
        held += text.length - start;
        if (held > options.rowCharacters) {
          // The beginning is enough for the excerpt; the rest is not kept.
          tooLong = true;
          pieces = [(pieces.join("") + text.slice(start)).slice(0, 2_000)];
        } else pieces.push(text.slice(start));
      }
      return rows;
    },
    end() {
      const rows: Row[] = [];
      if (pieces.length > 0) finish(pieces.join(""), rows);
      pieces = [];
      return rows;
    },
  };
}

/** One row of JSON text. `place` is where the text begins; the column of a fault is added to it. */
export function parseJsonRow(
  raw: string,
  place: { readonly line: number; readonly column?: number; readonly row?: number; readonly key?: string },
  damaged: boolean,
): Row {
  if (damaged) {
    const { key: _, ...where } = place;
    const bad = invalidBytes(raw, where);
    if (bad !== undefined) return bad;
  }
  try {
    return { ...place, value: JSON.parse(raw) as unknown, raw };
  } catch {
    const fault = findJsonFault(raw);
    const before = raw.slice(0, fault.offset);
    const breaks = before.split("\n").length - 1;
    const column = fault.offset - before.lastIndexOf("\n");
    return {
      ...(place.row === undefined ? {} : { row: place.row }),
      line: place.line + breaks,
      column: breaks === 0 ? column + (place.column ?? 1) - 1 : column,
      rule: "json-syntax",
      reason: `not valid JSON: ${fault.reason}`,
      raw,
    };
  }
}
