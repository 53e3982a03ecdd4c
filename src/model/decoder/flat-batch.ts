/** Sequences → the feeds of a loss graph: real tokens flat, attention padded, supervised rows selected. */
import { type Tensor, float32, tensor } from "../../compute/tensor/index.ts";
import type { ModelSpec } from "./model-spec.ts";

/** One rendered sequence. `weights[t]` > 0 makes token t a target, to be predicted from the tokens before it. */
export interface Sequence {
  readonly ids: ArrayLike<number>;
  /** As long as `ids`; the first entry is never a target. */
  readonly weights: ArrayLike<number>;
}

export interface FlatBatch {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** T */
  readonly tokens: number;
  /** Targets with a weight above 0. */
  readonly supervised: number;
  /** R: those, rounded up to whole loss chunks. */
  readonly rows: number;
  /** S, rounded up to whole query chunks. */
  readonly longest: number;
}

/** Added to the scores of pairs that must not see each other; far below any real score, and finite. */
const hidden = -1e9;

/**
 * Lays B sequences out for a graph with `queryChunks` and `lossChunks`: S is the longest length and R the number
 * of targets, both rounded up to whole chunks; added rows read token 0 with weight 0.
 */
export function flatBatch(
  sequences: readonly Sequence[],
  spec: Pick<ModelSpec, "slidingWindow" | "layerAttention" | "heads" | "kvHeads">,
  chunks: { readonly queryChunks: number; readonly lossChunks: number },
): FlatBatch {
  const lengths = sequences.map(({ ids }) => ids.length);
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const batch = sequences.length;
  const length = roundUp(Math.max(...lengths), chunks.queryChunks);
  const tokenIds = new BigInt64Array(tokens);
  const rowOfToken = new BigInt64Array(tokens);
  const tokenSelected = new Float32Array(tokens);
  const positions = new BigInt64Array(tokens);
  const tokenAt = new Int32Array(batch * length);
  const real = new Float32Array(batch * length);
  const rows: number[] = [];
  const labels: number[] = [];
  const weights: number[] = [];
  let token = 0;
  sequences.forEach((sequence, b) => {
    for (let s = 0; s < sequence.ids.length; s++, token++) {
      const place = b * length + s;
      tokenIds[token] = BigInt(sequence.ids[s]!);
      positions[token] = BigInt(s);
      tokenAt[place] = token;
      real[place] = 1;
      const weight = sequence.weights[s + 1] ?? 0;
      if (weight > 0) {
        rowOfToken[token] = BigInt(rows.length);
        tokenSelected[token] = 1;
        rows.push(token);
        labels.push(sequence.ids[s + 1]!);
        weights.push(weight);
      }
    }
  });
  const supervised = rows.length;
  const rowCount = roundUp(Math.max(1, supervised), chunks.lossChunks);
  const integers = (values: readonly number[]): BigInt64Array => {
    const padded = new BigInt64Array(rowCount);
    values.forEach((value, i) => (padded[i] = BigInt(value)));
    return padded;
  };
  const rowWeights = new Float32Array(rowCount);
  rowWeights.set(weights);
  return {
    feeds: {
      tokenIds: tensor("int64", [tokens], tokenIds),
      rowOfToken: tensor("int64", [tokens], rowOfToken),
      tokenSelected: float32([tokens, 1], tokenSelected),
      positions: tensor("int64", [tokens, 1], positions),
      ...headIndices("query", spec.heads, tokenAt, real, [batch, length]),
      ...(spec.heads === spec.kvHeads
        ? {}
        : headIndices("key", spec.kvHeads, tokenAt, real, [batch, length])),
      real: float32([batch, 1, length, 1], real),
      rows: tensor("int64", [rowCount], integers(rows)),
      labels: tensor("int64", [rowCount], integers(labels)),
      rowWeights: float32([rowCount], rowWeights),
      causalMask: causalMask(length, Number.POSITIVE_INFINITY),
      ...(spec.layerAttention.includes("sliding")
        ? { slidingMask: causalMask(length, spec.slidingWindow!) }
        : {}),
    },
    tokens,
    supervised,
    rows: rowCount,
    longest: length,
  };
}

/** `${name}Places` [B, N, S] and `${name}Tokens` [T, N]: where each of N heads stands in the flat layout and in the padded view. */
function headIndices(
  name: string,
  count: number,
  tokenAt: Int32Array,
  real: Float32Array,
  [batch, length]: readonly [number, number],
): Record<string, Tensor> {
  const tokens = real.reduce((sum, one) => sum + one, 0);
  const places = new BigInt64Array(batch * count * length);
  const back = new BigInt64Array(tokens * count);
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < length; s++) {
      const token = tokenAt[b * length + s]!;
      for (let n = 0; n < count; n++) {
        const place = (b * count + n) * length + s;
        places[place] = BigInt(token * count + n);
        if (real[b * length + s] === 1) back[token * count + n] = BigInt(place);
      }
    }
  }
  return {
    [`${name}Places`]: tensor("int64", [batch, count, length], places),
    [`${name}Tokens`]: tensor("int64", [tokens, count], back),
  };
}

/** [1, 1, S, S]: 0 where query i sees key j (i − window < j ≤ i), far below elsewhere. */
export function causalMask(length: number, window: number): Tensor<"float32"> {
  const mask = new Float32Array(length * length).fill(hidden);
  for (let i = 0; i < length; i++) mask.fill(0, i * length + Math.max(0, i - window + 1), i * length + i + 1);
  return float32([1, 1, length, length], mask);
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
