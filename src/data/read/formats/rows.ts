/** What every format reader hands on: rows with their place, or the reason why one could not be read. */
import type { SourcePlace } from "../../record.ts";
import { INVALID_BYTES } from "../encoding.ts";

export interface GoodRow {
  readonly value: unknown;
  readonly line?: number;
  readonly column?: number;
  readonly row?: number;
  /** The member's name, when the rows are members of one JSON object. */
  readonly key?: string;
  /** The row as it stood in the file; absent for formats that have no text. */
  readonly raw?: string;
}

export interface BadRow {
  readonly rule: string;
  readonly reason: string;
  readonly line?: number;
  readonly column?: number;
  readonly row?: number;
  readonly raw: string;
}

export type Row = GoodRow | BadRow;

export const isBad = (row: Row): row is BadRow => "rule" in row;

/** Reads rows out of text that comes in pieces. */
export interface RowParser {
  push(text: string): readonly Row[];
  end(): readonly Row[];
}

/** Shared by the text formats. */
export interface RowParserOptions {
  readonly rowCharacters: number;
  /** Whether the text so far holds marks of invalid bytes. */
  readonly damaged: () => boolean;
  /** Adds a sentence to the report of the source. */
  readonly note: (sentence: string) => void;
}

/** A row that holds invalid bytes, or nothing. */
export function invalidBytes(raw: string, place: Place): BadRow | undefined {
  const at = raw.indexOf(INVALID_BYTES);
  if (at < 0) return undefined;
  return {
    ...place,
    rule: "invalid-bytes",
    reason: `character ${at + 1} of the row is not valid in the file's encoding`,
    raw,
  };
}

export type Place = Pick<SourcePlace, "line" | "column" | "row">;
