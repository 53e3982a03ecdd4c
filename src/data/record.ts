/** A conversation between reading and the finished data set, and what becomes of a row that is not kept. */
import type { Message } from "../model/text/index.ts";

/** Where a record came from; lines, columns and rows count from 1. */
export interface SourcePlace {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  /** For sources without lines (Parquet, one JSON array): the row. */
  readonly row?: number;
}

/** A message with the intent its source gave this one turn, where it gave one. */
export interface RecordMessage extends Message {
  readonly intent?: string;
}

/**
 * One row of a source: a whole conversation, or one reply with its history. In the second case the
 * assistant messages of the history carry `supervised: false`.
 */
export interface DialogueRecord {
  readonly dialogueId: string;
  readonly messages: readonly RecordMessage[];
  /** The intent of the whole record (for a native row: of its reply). */
  readonly intent?: string;
  readonly turn?: number;
  /** Multiplies the loss of this record's supervised tokens, where the source gives it; absent means 1. */
  readonly weight?: number;
  readonly source: SourcePlace;
}

/** A row that was not kept: it goes to `rejected.jsonl`. Rows in = rows kept + rows rejected, always. */
export interface Rejection {
  readonly source: SourcePlace;
  /** A stable machine name such as `json-syntax`, `reply-length`, `near-duplicate`. */
  readonly rule: string;
  /** One sentence for people that names the value and the rule. */
  readonly reason: string;
  /** The raw row, cut to 2,000 characters. */
  readonly excerpt: string;
}

export type ReadResult =
  | { readonly kind: "record"; readonly record: DialogueRecord }
  | { readonly kind: "rejected"; readonly rejection: Rejection };
