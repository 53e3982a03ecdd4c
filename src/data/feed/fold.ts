/** Folds the rows of one conversation: where one row's tokens are the beginning of another's, both are read once. */
import type { EncodedRow } from "./encode.ts";

/** One sequence to train on, standing for one row or for several that it folds. */
export interface FeedSequence {
  /** [T] */
  readonly ids: Int32Array;
  /**
   * [T]: how much predicting this token from those before it counts; 0 where it is no target. Two rows that
   * supervise the same token add their weights, so the folded loss is the sum of the rows' losses.
   */
  readonly weights: Float32Array;
  /** Supervised replies, summed over its rows. */
  readonly replies: number;
  /** Indices of its rows. */
  readonly rows: readonly number[];
}

export interface FoldReport {
  readonly rows: number;
  readonly sequences: number;
  readonly tokensBefore: number;
  readonly tokensAfter: number;
  /** tokensBefore / tokensAfter: how many times fewer tokens are read. */
  readonly factor: number;
}

export interface Folded {
  readonly sequences: readonly FeedSequence[];
  readonly report: FoldReport;
}

/**
 * A causal model gives a token the same prediction whatever follows, so a row that is the beginning of another
 * adds nothing but its targets. Several answers to one history stay apart; the history they share is read
 * with each. `fold: false` keeps every row as it is.
 */
export function foldRows(rows: readonly EncodedRow[], options: { readonly fold?: boolean } = {}): Folded {
  const sequences = options.fold === false ? rows.map((row, index) => sequenceOf(row, index)) : fold(rows);
  const tokensBefore = rows.reduce((sum, row) => sum + row.ids.length, 0);
  const tokensAfter = sequences.reduce((sum, sequence) => sum + sequence.ids.length, 0);
  return {
    sequences,
    report: {
      rows: rows.length,
      sequences: sequences.length,
      tokensBefore,
      tokensAfter,
      factor: tokensAfter === 0 ? 1 : tokensBefore / tokensAfter,
    },
  };
}

interface OpenSequence {
  readonly ids: Int32Array;
  readonly weights: Float32Array;
  replies: number;
  readonly rows: number[];
}

function fold(rows: readonly EncodedRow[]): readonly FeedSequence[] {
  const dialogues = new Map<string, number[]>();
  for (const [index, row] of rows.entries()) {
    const dialogue = dialogues.get(row.dialogueId);
    if (dialogue === undefined) dialogues.set(row.dialogueId, [index]);
    else dialogue.push(index);
  }
  const sequences: OpenSequence[] = [];
  for (const indices of dialogues.values()) sequences.push(...foldDialogue(rows, indices));
  for (const sequence of sequences) sequence.rows.sort((a, b) => a - b);
  return sequences.sort((a, b) => a.rows[0]! - b.rows[0]!);
}

/** In lexicographic order whatever begins with a row stands right behind it, so each row looks only at its successor. */
function foldDialogue(rows: readonly EncodedRow[], indices: readonly number[]): OpenSequence[] {
  const order = indices.toSorted((a, b) => compareIds(rows[a]!.ids, rows[b]!.ids) || a - b);
  const sequences: OpenSequence[] = [];
  let successor: Int32Array | undefined;
  for (const index of order.toReversed()) {
    const row = rows[index]!;
    const current = sequences.at(-1);
    if (current !== undefined && successor !== undefined && beginsWith(successor, row.ids))
      addRow(current, row, index);
    else sequences.push(sequenceOf(row, index));
    successor = row.ids;
  }
  return sequences;
}

function sequenceOf(row: EncodedRow, index: number): OpenSequence {
  const sequence = { ids: row.ids, weights: new Float32Array(row.ids.length), replies: 0, rows: [] };
  addRow(sequence, row, index);
  return sequence;
}

function addRow(sequence: OpenSequence, row: EncodedRow, index: number): void {
  if (row.targets[0] === 1)
    throw new Error(`row ${index}: its first token is a target, but nothing precedes it`);
  for (let t = 0; t < row.ids.length; t++) if (row.targets[t] === 1) sequence.weights[t]! += row.weight;
  sequence.replies += row.replies;
  sequence.rows.push(index);
}

function compareIds(a: Int32Array, b: Int32Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function beginsWith(ids: Int32Array, beginning: Int32Array): boolean {
  if (beginning.length > ids.length) return false;
  for (let i = 0; i < beginning.length; i++) if (ids[i] !== beginning[i]) return false;
  return true;
}
