/** What shaping knows of each row: a few numbers in columns, so that a million rows are megabytes, not gigabytes. */

/** Column arrays of equal length, one entry a row. Ids count from 0 in order of first appearance. */
export interface RowColumns {
  /** Which conversation the row belongs to. */
  readonly conversation: Uint32Array;
  /** The row's class; a missing intent is a class of its own. */
  readonly intent: Uint32Array;
  /** Exchanges in the row: messages of the user. */
  readonly turns: Uint16Array;
  /** Which source of the config the row came from. */
  readonly source: Uint16Array;
}

/**
 * How often each row stands in the training set: 0 leaves it out, 2 repeats it once. Rows of other splits are
 * not counted by the shaping steps: they are 0 in `copies` and kept by their split alone.
 */
export type Copies = Uint16Array;

/** Name of the class of rows without an intent. */
export const NO_INTENT = "(no intent)";

/** Σ copies per class. */
export function countByClass(
  classes: Uint32Array | Uint16Array,
  copies: Copies,
  classCount: number,
): number[] {
  const counts = Array.from({ length: classCount }, () => 0);
  for (let row = 0; row < copies.length; row++) counts[classes[row]!]! += copies[row]!;
  return counts;
}
