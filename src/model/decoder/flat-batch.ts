/** Sequences → the feeds of a loss graph: real tokens flat and each read once, attention padded, supervised rows selected. */
import { type Tensor, float32, tensor } from "../../compute/tensor/index.ts";
import type { ModelSpec } from "./model-spec.ts";
import { TokenTree } from "./token-tree.ts";

/** One rendered sequence. `weights[t]` > 0 makes token t a target, to be predicted from the tokens before it. */
export interface Sequence {
  readonly ids: ArrayLike<number>;
  /** As long as `ids`; the first entry is never a target. */
  readonly weights: ArrayLike<number>;
}

export interface FlatBatch {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** T: common beginnings count once. */
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
 * of targets, both rounded up to whole chunks; added rows read token 0 with weight 0. Sequences share the tokens of a
 * common beginning (`TokenTree`) unless `share` is false.
 */
export function flatBatch(
  sequences: readonly Sequence[],
  spec: Pick<ModelSpec, "slidingWindow" | "layerAttention" | "heads" | "kvHeads">,
  layout: { readonly queryChunks: number; readonly lossChunks: number; readonly share?: boolean },
): FlatBatch {
  const tree = new TokenTree(layout.share ?? true);
  const paths = sequences.map((sequence) => tree.add(sequence));
  const tokens = tree.count;
  const batch = sequences.length;
  const length = roundUp(Math.max(...sequences.map(({ ids }) => ids.length)), layout.queryChunks);
  const tokenIds = new BigInt64Array(tokens);
  const rowOfToken = new BigInt64Array(tokens);
  const tokenSelected = new Float32Array(tokens);
  const positions = new BigInt64Array(tokens);
  const places: Places = {
    batch,
    length,
    tokenAt: new Int32Array(batch * length),
    firstOf: new Int32Array(tokens),
    repeatsOf: new Map(),
  };
  const first = new Float32Array(batch * length);
  const rows: number[] = [];
  const labels: number[] = [];
  const weights: number[] = [];
  let seen = 0;
  sequences.forEach((sequence, b) => {
    for (let s = 0; s < sequence.ids.length; s++) {
      const place = b * length + s;
      const token = paths[b]![s]!;
      places.tokenAt[place] = token;
      if (token === seen) {
        seen += 1;
        tokenIds[token] = BigInt(sequence.ids[s]!);
        positions[token] = BigInt(s);
        places.firstOf[token] = place;
        first[place] = 1;
      } else {
        const repeats = places.repeatsOf.get(token);
        if (repeats === undefined) places.repeatsOf.set(token, [places.firstOf[token]!, place]);
        else repeats.push(place);
      }
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
  const rowCount = roundUp(Math.max(1, supervised), layout.lossChunks);
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
      queryPlaces: headPlaces(places, spec.heads),
      queryTokens: headTokens(places, spec.heads),
      ...(spec.heads === spec.kvHeads ? {} : { keyPlaces: headPlaces(places, spec.kvHeads) }),
      ...sharedKeys(places, spec.kvHeads),
      firstPlace: float32([batch, 1, length, 1], first),
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

/** Where the T tokens stand in the padded view of B rows of S places. */
interface Places {
  readonly batch: number;
  readonly length: number;
  /** [B·S]: the token at each place; 0 where there is none. */
  readonly tokenAt: Int32Array;
  /** [T]: the first place of each token. */
  readonly firstOf: Int32Array;
  /** All places of each token that has several. */
  readonly repeatsOf: Map<number, number[]>;
}

/** [B, N, S]: where each of N heads of the token at each place stands in [T·N, E]. */
function headPlaces({ batch, length, tokenAt }: Places, count: number): Tensor<"int64"> {
  const places = new BigInt64Array(batch * count * length);
  let at = 0;
  for (let b = 0; b < batch; b++)
    for (let n = 0; n < count; n++)
      for (let s = 0; s < length; s++) places[at++] = BigInt(tokenAt[b * length + s]! * count + n);
  return tensor("int64", [batch, count, length], places);
}

/** Where head n of N stands in [B·N·S, E], for the token at a place of [B·S]. */
function headAt({ length }: Places, place: number, count: number, n: number): number {
  const b = Math.floor(place / length);
  return (b * count + n) * length + (place - b * length);
}

/** [T, N]: the first place of each of N heads of each token. */
function headTokens(places: Places, count: number): Tensor<"int64"> {
  const { firstOf } = places;
  const tokens = BigInt64Array.from({ length: firstOf.length * count }, (_, at) =>
    BigInt(headAt(places, firstOf[Math.floor(at / count)]!, count, at % count)),
  );
  return tensor("int64", [firstOf.length, count], tokens);
}

/** `keyTokens`, `sharedPlaces` and `sharedReal` of `Padding`. One token that nobody asks for stands in where none is shared. */
function sharedKeys(places: Places, count: number): Record<string, Tensor> {
  const shared = [...places.repeatsOf];
  const width = Math.max(1, shared.length) * count;
  const most = shared.reduce((max, [, repeats]) => Math.max(max, repeats.length), 1);
  const tokens = headTokens(places, count);
  const summed = new BigInt64Array(most * width);
  const real = new Float32Array(most * width);
  const padded = places.batch * count * places.length;
  for (const [u, [token, repeats]] of shared.entries()) {
    for (let n = 0; n < count; n++) {
      const column = u * count + n;
      tokens.data[token * count + n] = BigInt(padded + column);
      for (const [i, place] of repeats.entries()) {
        summed[i * width + column] = BigInt(headAt(places, place, count, n));
        real[i * width + column] = 1;
      }
    }
  }
  return {
    keyTokens: tokens,
    sharedPlaces: tensor("int64", [most, width], summed),
    sharedReal: float32([most, width, 1], real),
  };
}

/** [1, 1, S, S]: 0 where query i sees key j (i − window < j ≤ i), far below elsewhere. */
export function causalMask(length: number, window: number): Tensor<"float32"> {
  const mask = new Float32Array(length * length).fill(hidden);
  for (let i = 0; i < length; i++) mask.fill(0, i * length + Math.max(0, i - window + 1), i * length + i + 1);
  return float32([1, 1, length, length], mask);
}

/** Measured: chunks of about 160 queries; shorter ones skip more keys, but lose it in small products and passes. */
export function queryChunksFor(longest: number): number {
  return Math.max(1, Math.ceil(longest / 160));
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
