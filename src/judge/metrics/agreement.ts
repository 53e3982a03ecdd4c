/** How far raters agree beyond chance: Krippendorff's alpha, Cohen's kappa, and correlation. */
import { countValues } from "./text.ts";

export type Level = "nominal" | "ordinal" | "interval";

/**
 * Krippendorff's alpha over units that any number of raters judged; a rating that is missing is simply not in the
 * unit's list. 1 is full agreement, 0 what chance gives. Source: Krippendorff, 2011, "Computing Krippendorff's
 * Alpha-Reliability".
 * @returns undefined where no unit has two ratings or all pairable ratings are equal: then alpha is not defined
 */
export function krippendorffAlpha(units: readonly (readonly number[])[], level: Level): number | undefined {
  const pairable = units.filter((unit) => unit.length >= 2);
  const values = [...new Set(pairable.flat())].sort((a, b) => a - b);
  if (values.length < 2) return undefined;
  const position = new Map(values.map((value, i) => [value, i]));
  const size = values.length;
  const coincidences = new Float64Array(size * size);
  for (const unit of pairable) {
    const counts = [...countValues(unit)];
    for (const [a, countA] of counts) {
      for (const [b, countB] of counts) {
        const pairs = countA * (a === b ? countB - 1 : countB);
        coincidences[position.get(a)! * size + position.get(b)!]! += pairs / (unit.length - 1);
      }
    }
  }
  const totals = values.map((_, i) =>
    coincidences.subarray(i * size, (i + 1) * size).reduce((a, b) => a + b, 0),
  );
  const all = totals.reduce((a, b) => a + b, 0);
  const distance = distances[level](values, totals);
  let [observed, expected] = [0, 0];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (i === j) continue;
      const squared = distance(i, j);
      observed += coincidences[i * size + j]! * squared;
      expected += ((totals[i]! * totals[j]!) / (all - 1)) * squared;
    }
  }
  return 1 - observed / expected;
}

type Distance = (i: number, j: number) => number;

/** Squared distance between two of the sorted values, given how often each was used. */
const distances: {
  readonly [K in Level]: (values: readonly number[], totals: readonly number[]) => Distance;
} = {
  nominal: () => () => 1,
  interval: (values) => (i, j) => (values[i]! - values[j]!) ** 2,
  ordinal: (_, totals) => (i, j) => {
    const [low, high] = [Math.min(i, j), Math.max(i, j)];
    let between = -(totals[low]! + totals[high]!) / 2;
    for (let k = low; k <= high; k++) between += totals[k]!;
    return between ** 2;
  },
};

/** Share of pairs of ratings of one unit that are equal: what alpha corrects for chance. undefined without pairs. */
export function rawAgreement(units: readonly (readonly number[])[]): number | undefined {
  let [equal, pairs] = [0, 0];
  for (const unit of units) {
    pairs += (unit.length * (unit.length - 1)) / 2;
    for (const count of countValues(unit).values()) equal += (count * (count - 1)) / 2;
  }
  return pairs === 0 ? undefined : equal / pairs;
}

export type KappaWeights = "none" | "linear" | "quadratic";

/**
 * Cohen's kappa of two raters who judged the same items, as scikit-learn's `cohen_kappa_score`: weights are by rank
 * among the values that occur.
 * @returns undefined where there are no items or only one value occurs
 */
export function cohenKappa(
  a: readonly number[],
  b: readonly number[],
  weights: KappaWeights = "none",
): number | undefined {
  if (a.length !== b.length)
    throw new RangeError(`kappa needs pairs: ${a.length} ratings against ${b.length}`);
  const values = [...new Set([...a, ...b])].sort((x, y) => x - y);
  if (values.length < 2) return undefined;
  const rank = new Map(values.map((value, i) => [value, i]));
  const cost = (i: number, j: number): number =>
    weights === "none" ? Number(i !== j) : weights === "linear" ? Math.abs(i - j) : (i - j) ** 2;
  const [countsA, countsB] = [countValues(a), countValues(b)];
  let observed = 0;
  for (const [i, left] of a.entries()) observed += cost(rank.get(left)!, rank.get(b[i]!)!);
  let expected = 0;
  for (const [left, countA] of countsA) {
    for (const [right, countB] of countsB) {
      expected += (countA * countB * cost(rank.get(left)!, rank.get(right)!)) / a.length;
    }
  }
  return 1 - observed / expected;
}

/** Pearson's correlation; undefined where there are fewer than two pairs or one side does not vary. */
export function pearson(a: readonly number[], b: readonly number[]): number | undefined {
  if (a.length !== b.length)
    throw new RangeError(`correlation needs pairs: ${a.length} values against ${b.length}`);
  if (a.length < 2 || new Set(a).size < 2 || new Set(b).size < 2) return undefined;
  const mean = (values: readonly number[]): number => values.reduce((s, v) => s + v, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [products, squaresA, squaresB] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    const [x, y] = [value - meanA, b[i]! - meanB];
    products += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  return Math.max(-1, Math.min(1, products / Math.sqrt(squaresA * squaresB)));
}

/** Spearman's rank correlation; equal values share their mean rank. */
export function spearman(a: readonly number[], b: readonly number[]): number | undefined {
  return pearson(ranks(a), ranks(b));
}

function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const result = Array.from({ length: values.length }, () => 0);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1;
    for (let k = start; k < end; k++) result[order[k]!] = (start + end - 1) / 2 + 1;
    start = end;
  }
  return result;
}
