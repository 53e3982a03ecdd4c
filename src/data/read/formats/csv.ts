/** CSV and TSV: records are cut out here, so that a stray quote costs one line; csv-parse reads their fields. */
import { parse } from "csv-parse/sync";
import { errorCode, errorMessage, formatCount } from "../../../util/index.ts";
import { invalidBytes, type Row, type RowParser, type RowParserOptions } from "./rows.ts";

interface CutRecord {
  readonly text: string;
  readonly line: number;
  /** Offset of the record and of what follows its line break. */
  readonly start: number;
  readonly next: number;
}

/** Records handed to csv-parse in one call: a call costs much, and a refused one is repeated singly. */
const BATCH = 200;

const PROBLEMS: Readonly<Record<string, string>> = {
  INVALID_OPENING_QUOTE: "a quote inside a field that does not begin with one",
  CSV_INVALID_CLOSING_QUOTE: "text after a closing quote",
  CSV_QUOTE_NOT_CLOSED: "a quote that is never closed",
};

export function csvParser(delimiter: string, options: RowParserOptions): RowParser {
  let header: readonly string[] | undefined;
  /** Text from the first record that has not been read; `line` is the line on which it begins. */
  let text = "";
  let line = 1;
  /** Inside a line that was given up before its end came. */
  let skipping = false;
  /** Rows with quotes in fields that do not begin with one. */
  let literal = 0;
  /** For a record that has not ended: how far its quotes are counted, what they are there. */
  let resume = { at: 0, quoted: false };

  /** The record that begins at `start`; `undefined` when its end has not come yet. */
  const cutRecord = (start: number, startLine: number, last: boolean): CutRecord | undefined => {
    let { at, quoted } = start === 0 ? resume : { at: start, quoted: false };
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x22) quoted = !quoted;
      else if (code === 0x0a) {
        if (!quoted)
          return { text: text.slice(start, at).replace(/\r$/, ""), line: startLine, start, next: at + 1 };
      }
    }
    if (last && start < text.length)
      return { text: text.slice(start), line: startLine, start, next: text.length };
    resume = { at: at - start, quoted };
    return undefined;
  };

  const fieldsOf = (records: readonly CutRecord[]): readonly (readonly string[])[] | string => {
    try {
      const rows: string[][] = parse(records.map((record) => record.text).join("\n"), {
        delimiter,
        record_delimiter: ["\n", "\r\n"],
        relax_column_count: true,
      });
      return rows.length === records.length ? rows : "quotes that do not pair up";
    } catch (error) {
      return PROBLEMS[errorCode(error) ?? ""] ?? errorMessage(error);
    }
  };

  const addRow = (rows: Row[], cells: readonly string[], record: CutRecord): void => {
    const place = { line: record.line };
    const damaged = options.damaged() ? invalidBytes(record.text, place) : undefined;
    if (damaged !== undefined) rows.push(damaged);
    else if (header === undefined) header = namesOf(cells, options);
    else if (cells.length !== header.length) {
      const reason = `the row has ${cells.length} fields where the header names ${header.length}`;
      rows.push({ ...place, rule: "csv-columns", reason, raw: record.text });
    } else {
      const value = Object.create(null) as Record<string, string>;
      for (let i = 0; i < header.length; i++) value[header[i]!] = cells[i]!;
      rows.push({ ...place, value, raw: record.text });
    }
  };

  /** Reads all records that have ended. */
  const drain = (last: boolean): readonly Row[] => {
    const rows: Row[] = [];
    let start = 0;
    for (;;) {
      const batch: CutRecord[] = [];
      let next = start;
      let nextLine = line;
      while (batch.length < BATCH) {
        const record = cutRecord(next, nextLine, last);
        if (record === undefined) break;
        nextLine += countBreaks(text, next, record.next);
        next = record.next;
        if (record.text.trim() !== "") batch.push(record);
        if (header === undefined && batch.length > 0) break;
      }
      if (next === start) break;
      const refused = readBatch(batch, rows);
      line = refused === undefined ? nextLine : refused.line + 1;
      start = refused === undefined ? next : lineAfter(refused);
    }
    if (start > 0) text = text.slice(start);
    if (last || text.length <= options.rowCharacters) return rows;
    // A record without an end: most likely an open quote. Its first line alone is given up.
    const reason = `the record has more than ${formatCount(options.rowCharacters)} characters; a quote may not be closed`;
    rows.push({ line, rule: "row-too-long", reason, raw: text.slice(0, 2_000) });
    const end = text.indexOf("\n");
    text = end < 0 ? "" : text.slice(end + 1);
    skipping = end < 0;
    line += 1;
    resume = { at: 0, quoted: false };
    return end < 0 ? rows : [...rows, ...drain(last)];
  };

  /** Adds the rows of `batch`; the first record that csv-parse refuses ends it and is returned. */
  const readBatch = (batch: readonly CutRecord[], rows: Row[]): CutRecord | undefined => {
    const all = fieldsOf(batch);
    if (typeof all !== "string") {
      for (let i = 0; i < all.length; i++) addRow(rows, all[i]!, batch[i]!);
      return undefined;
    }
    for (const record of batch) {
      const single = fieldsOf([record]);
      if (typeof single === "string") {
        const firstLine = text.slice(record.start, lineAfter(record)).replace(/\r?\n$/, "");
        const cells = firstLine.split(delimiter);
        if (cells.length === header?.length && !cells.some((cell) => cell.startsWith('"'))) {
          // No field begins with a quote, so those inside are what people wrote, such as 5" nails.
          literal += 1;
          addRow(rows, cells, { ...record, text: firstLine });
        } else {
          const reason = `${single}; reading goes on at the next line`;
          rows.push({ line: record.line, rule: "csv-quote", reason, raw: firstLine });
        }
        return record;
      }
      addRow(rows, single[0]!, record);
    }
    return undefined;
  };

  const lineAfter = (record: CutRecord): number => {
    const end = text.indexOf("\n", record.start);
    return end < 0 ? text.length : end + 1;
  };

  return {
    push(piece) {
      const skipped = skipping ? piece.indexOf("\n") + 1 : 0;
      if (skipping && skipped === 0) return [];
      skipping = false;
      text += piece.slice(skipped);
      return drain(false);
    },
    end() {
      const rows = drain(true);
      if (literal > 0)
        options.note(
          `rows with quotes inside unquoted fields were kept as they stand: ${formatCount(literal)}`,
        );
      return rows;
    },
  };
}

function countBreaks(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < to; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

/** Column names; a name that comes twice gets a number, an empty one its position. */
function namesOf(cells: readonly string[], options: RowParserOptions): readonly string[] {
  const names: string[] = [];
  const seen = new Set<string>();
  cells.forEach((cell, i) => {
    const base = cell.trim() === "" ? `column ${i + 1}` : cell.trim();
    let name = base;
    for (let n = 2; seen.has(name); n++) name = `${base} ${n}`;
    if (name !== base) options.note(`column \`${base}\` comes twice; the later one is called \`${name}\``);
    seen.add(name);
    names.push(name);
  });
  return names;
}
