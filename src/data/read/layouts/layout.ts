/** What a layout is: how to recognise its rows, and how to turn one row into one dialogue. */
import { formatCount } from "../../../util/index.ts";
import type { RecordMessage } from "../../record.ts";

export type RowObject = Readonly<Record<string, unknown>>;

/** One row as a dialogue; the reader adds place and id. */
export interface Dialogue {
  /** The source's own id; absent where it names none. */
  readonly dialogueId?: string | undefined;
  readonly messages: readonly RecordMessage[];
  readonly intent?: string | undefined;
  readonly turn?: number | undefined;
  readonly weight?: number | undefined;
}

export interface RowContext {
  /** Path, or `archive.zip!member`. */
  readonly file: string;
  /** The member's name, when the rows are members of one JSON object. */
  readonly key: string | undefined;
  readonly tools: "render" | "reject";
  /** Counts something worth a sentence in the report: its text has one `#` where the count goes. */
  readonly count: (sentence: string) => void;
}

export interface Detection {
  /** 0 (not this layout) to 1 (every sampled row fits). */
  readonly score: number;
  /** One sentence for people. */
  readonly evidence: string;
}

export interface Layout {
  readonly name: string;
  readonly title: string;
  /** Field names of the source that this layout reads: those that can be mapped. */
  readonly fields: readonly string[];
  readonly detect: (rows: readonly unknown[]) => Detection;
  /** Throws a `RowFault` for a row that is not kept. */
  readonly map: (row: unknown, context: RowContext) => Dialogue;
  /** A layout that is known and of no use: why. */
  readonly refusal?: string;
}

/** The usual detector: the share of sampled rows that fit. `what` completes "… of … sampled rows have". */
export function detectBy(what: string, fits: (row: RowObject) => boolean): Layout["detect"] {
  return (rows) => {
    const hits = rows.filter((row) => isObject(row) && fits(row)).length;
    return {
      score: rows.length === 0 ? 0 : hits / rows.length,
      evidence: `${formatCount(hits)} of ${formatCount(rows.length)} sampled rows have ${what}`,
    };
  };
}

export function isObject(value: unknown): value is RowObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An own field, so that "constructor" or "__proto__" never reach the prototype. */
export function own(row: RowObject, name: string): unknown {
  return Object.hasOwn(row, name) ? row[name] : undefined;
}

/** The first of `names` that the row has with a value. */
export function firstOwn(row: RowObject, names: readonly string[]): string | undefined {
  return names.find((name) => own(row, name) !== undefined && row[name] !== null);
}
