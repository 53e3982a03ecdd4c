/** One source's rows become records or rejections: samples, detects the layout, maps, counts. */
import { UserError, formatCount } from "../../util/index.ts";
import type { ReadResult, SourcePlace } from "../record.ts";
import {
  checkFieldNames,
  checkFieldsPresent,
  detectLayout,
  mapFields,
  requireLayout,
  type LayoutGuess,
} from "./detect-layout.ts";
import { toWellFormed } from "./encoding.ts";
import { RowFault, safeJson } from "./fault.ts";
import { isBad, type BadRow, type GoodRow, type Row } from "./formats/rows.ts";
import type { RowContext } from "./layouts/layout.ts";
import type { ReadOptions, SourceReport } from "./types.ts";
import { checkDialogue, countReplies, unfoldReplies, wholeConversation } from "./unfold.ts";
import { UnusableSource } from "./unusable.ts";

const SAMPLE_ROWS = 100;
/** When so many rows are broken and none is good, the source is given up. */
const HOPELESS_ROWS = 10_000;
const EXCERPT_CHARACTERS = 2_000;

export interface RecordMaker {
  accept(rows: readonly Row[]): ReadResult[];
  /** After the last row; asserts that rows read = kept + rejected. */
  finish(): ReadResult[];
}

/** `label` names the source in ids of dialogues that have none of their own. */
export function recordMaker(source: SourceReport, label: string, options: ReadOptions): RecordMaker {
  let guess: LayoutGuess | undefined;
  let waiting: Row[] | undefined = [];
  let goodWaiting = 0;
  const counted = new Map<string, number>();
  const { fields } = options;
  const unfold = options.unfold ?? "conversation";
  const loneSurrogates = options.loneSurrogates ?? "reject";
  const count = (sentence: string): void => {
    counted.set(sentence, (counted.get(sentence) ?? 0) + 1);
  };

  const settle = (found: LayoutGuess): void => {
    guess = found;
    const { layout, evidence } = found;
    source.layout = layout.name;
    source.layoutEvidence = evidence;
    if (layout.refusal !== undefined) {
      throw new UserError(`${source.file} is ${layout.title}, which cannot be used: ${layout.refusal}`, {
        next: "Leave it out.",
      });
    }
    options.onSource?.(source);
  };
  if (options.format !== undefined) {
    const layout = requireLayout(options.format);
    if (fields !== undefined) checkFieldNames(fields, [layout]);
    settle({ layout, evidence: "chosen by the caller" });
  }

  const detect = (): void => {
    const rows = waiting!.filter((row): row is GoodRow => !isBad(row)).slice(0, SAMPLE_ROWS);
    const values = rows.map((row) => row.value);
    const mapped = values.map((value) => mapFields(value, fields));
    try {
      settle(detectLayout(mapped, source.file, fields));
    } catch (error) {
      // A mapping to a field that is not there explains more than "no layout fits".
      if (fields !== undefined && error instanceof UnusableSource)
        checkFieldsPresent(values, fields, source.file);
      throw error;
    }
    if (fields !== undefined) {
      const read: readonly string[] = guess!.layout.fields;
      const applied = Object.fromEntries(Object.entries(fields).filter(([name]) => read.includes(name)));
      checkFieldsPresent(values, applied, source.file);
    }
  };

  const placeOf = (row: Row): SourcePlace => ({
    file: source.file,
    ...(row.line === undefined ? {} : { line: row.line }),
    ...(row.column === undefined ? {} : { column: row.column }),
    ...(row.row === undefined ? {} : { row: row.row }),
  });

  const reject = (row: Row, rule: string, reason: string, results: ReadResult[]): void => {
    const place = placeOf(row);
    if (options.strict === true) {
      throw new UserError(reason, {
        at: placeText(place),
        next: `Mend or remove this row (rule ${rule}).`,
      });
    }
    source.rowsRejected += 1;
    source.rejectedBy[rule] = (source.rejectedBy[rule] ?? 0) + 1;
    const raw = row.raw ?? safeJson((row as GoodRow).value);
    // Marks of invalid bytes and halves of surrogate pairs become U+FFFD: the excerpt is shown and written.
    const excerpt = toWellFormed(raw.length > EXCERPT_CHARACTERS ? raw.slice(0, EXCERPT_CHARACTERS) : raw);
    results.push({ kind: "rejected", rejection: { source: place, rule, reason, excerpt } });
  };

  const mapRow = (row: GoodRow, results: ReadResult[]): void => {
    const context: RowContext = {
      file: source.file,
      key: row.key,
      tools: options.tools ?? "render",
      count,
    };
    try {
      const dialogue = checkDialogue(
        guess!.layout.map(mapFields(row.value, fields), context),
        loneSurrogates,
      );
      const place = placeOf(row);
      const id = dialogue.dialogueId ?? `${label}:${row.row ?? row.line ?? source.rowsRead}`;
      if (unfold === "reply") {
        const records = unfoldReplies(dialogue, id, place);
        for (const record of records) results.push({ kind: "record", record });
        source.records += records.length;
        source.replies += records.length;
      } else {
        results.push({ kind: "record", record: wholeConversation(dialogue, id, place) });
        source.records += 1;
        source.replies += countReplies(dialogue.messages);
      }
      source.rowsKept += 1;
    } catch (error) {
      if (!(error instanceof RowFault)) throw error;
      reject(row, error.rule, error.message, results);
    }
  };

  const process = (rows: readonly Row[]): ReadResult[] => {
    const results: ReadResult[] = [];
    for (const row of rows) {
      source.rowsRead += 1;
      if (isBad(row)) reject(row, row.rule, row.reason, results);
      else mapRow(row, results);
    }
    return results;
  };

  const release = (): ReadResult[] => {
    const rows = waiting ?? [];
    waiting = undefined;
    return process(rows);
  };

  return {
    accept(rows) {
      if (guess !== undefined && waiting === undefined) return process(rows);
      for (const row of rows) {
        waiting!.push(row);
        if (!isBad(row)) goodWaiting += 1;
      }
      if (guess === undefined) {
        if (goodWaiting === 0 && waiting!.length >= HOPELESS_ROWS)
          throw hopeless(waiting![0] as BadRow, source.file);
        if (goodWaiting < SAMPLE_ROWS) return [];
        detect();
      }
      return release();
    },
    finish() {
      if (guess === undefined && goodWaiting > 0) detect();
      const results = release();
      if (source.rowsRead === 0)
        throw new UnusableSource(`${source.file} holds no rows`, { next: "Check the file." });
      if (guess === undefined) source.notes.push("no row could be read, so the layout is not known");
      for (const [sentence, times] of counted) source.notes.push(sentence.replace("#", formatCount(times)));
      if (source.rowsRead !== source.rowsKept + source.rowsRejected) {
        throw new Error(
          `${source.file}: ${source.rowsRead} rows read, but ${source.rowsKept} kept and ${source.rowsRejected} rejected`,
        );
      }
      return results;
    },
  };
}

function hopeless(first: BadRow, file: string): UserError {
  return new UserError(
    `none of the first ${formatCount(HOPELESS_ROWS)} rows of ${file} can be read; the first: ${first.reason}`,
    {
      at: placeText({ file, ...(first.line === undefined ? {} : { line: first.line }) }),
      next: "Check that the file is what its name says, or name its format and encoding.",
    },
  );
}

/** `file:line:column`, or `file, row 7` for sources without lines. */
export function placeText(place: SourcePlace): string {
  if (place.line !== undefined) {
    return `${place.file}:${place.line}${place.column === undefined ? "" : `:${place.column}`}`;
  }
  return place.row === undefined ? place.file : `${place.file}, row ${place.row}`;
}
