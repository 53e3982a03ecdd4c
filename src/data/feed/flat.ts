/** A micro-batch as the token-flat arrays that a training graph is fed. */
import type { FeedSequence } from "./fold.ts";

/**
 * B sequences of T real tokens together, the longest of S tokens, R of them with a target behind them. Linear
 * layers and loss see [T, …]; attention gathers [B, S, …] by `padIndex` and goes back by `unpadIndex`.
 */
export interface FlatMicroBatch {
  readonly sequences: number;
  readonly longest: number;
  readonly tokens: number;
  readonly targets: number;
  /** Sum of `weights`. */
  readonly weight: number;
  /** [T] token ids, sequence after sequence. */
  readonly ids: BigInt64Array;
  /** [B, S]: every row counts from 0. */
  readonly positions: BigInt64Array;
  /** [B, S] → index into T; 0 where there is no token. */
  readonly padIndex: BigInt64Array;
  /** [B, S, 1]: 1 at a token, 0 at padding, by position and never by id. */
  readonly padMask: Float32Array;
  /** [T] → index into B × S. */
  readonly unpadIndex: BigInt64Array;
  /** [R] → index into T of the token from which a target is predicted. */
  readonly rows: BigInt64Array;
  /** [R] the target's id. */
  readonly labels: BigInt64Array;
  /** [R] its loss weight. */
  readonly weights: Float32Array;
}

export function flatten(sequences: readonly FeedSequence[]): FlatMicroBatch {
  const count = sequences.length;
  const longest = sequences.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const tokens = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
  const ids = new BigInt64Array(tokens);
  const positions = new BigInt64Array(count * longest);
  const padIndex = new BigInt64Array(count * longest);
  const padMask = new Float32Array(count * longest);
  const unpadIndex = new BigInt64Array(tokens);
  const rows: bigint[] = [];
  const labels: bigint[] = [];
  const weights: number[] = [];
  let offset = 0;
  for (const [b, sequence] of sequences.entries()) {
    const { length } = sequence.ids;
    for (let i = 0; i < longest; i++) positions[b * longest + i] = BigInt(i);
    for (let i = 0; i < length; i++) {
      const flat = BigInt(offset + i);
      const padded = b * longest + i;
      ids[offset + i] = BigInt(sequence.ids[i]!);
      padIndex[padded] = flat;
      padMask[padded] = 1;
      unpadIndex[offset + i] = BigInt(padded);
      const weight = sequence.weights[i + 1] ?? 0;
      if (weight === 0) continue;
      rows.push(flat);
      labels.push(BigInt(sequence.ids[i + 1]!));
      weights.push(weight);
    }
    offset += length;
  }
  return {
    sequences: count,
    longest,
    tokens,
    targets: rows.length,
    weight: weights.reduce((sum, weight) => sum + weight, 0),
    ids,
    positions,
    padIndex,
    padMask,
    unpadIndex,
    rows: BigInt64Array.from(rows),
    labels: BigInt64Array.from(labels),
    weights: Float32Array.from(weights),
  };
}
