/** Confidence intervals and paired tests by bootstrap resampling of per-item statistics (Koehn, 2004). */
import { random } from "../../util/index.ts";

/** Rows of sufficient statistics, one an item, all of one width; their sums are what a score is computed from. */
export type StatisticRows = readonly (readonly number[])[];

/** A score from summed statistics of `items` items: corpus BLEU from n-gram counts, a mean from [sum]. */
export type ScoreOfSums = (sums: readonly number[], items: number) => number;

export interface BootstrapOptions {
  /** Number of resamples; default 1,000. */
  readonly samples?: number;
  readonly seed?: number;
}

export interface Interval {
  /** The score of the items themselves. */
  readonly score: number;
  /** Mean of the resamples. */
  readonly mean: number;
  /** Ends of the 95 % interval; both equal the score where there is one item or none. */
  readonly low: number;
  readonly high: number;
}

/** Scores a list of values by their mean. */
export const meanOfSums: ScoreOfSums = (sums, items) => (items === 0 ? 0 : sums[0]! / items);

/** 95 % bootstrap interval of a score. Deterministic by seed. */
export function bootstrapInterval(
  rows: StatisticRows,
  score: ScoreOfSums,
  options: BootstrapOptions = {},
): Interval {
  return intervalOf(scoreOf(rows, score), scoresOf(rows, score, resampled(rows.length, options)));
}

/** 95 % bootstrap interval of a mean. */
export function meanInterval(values: readonly number[], options: BootstrapOptions = {}): Interval {
  return bootstrapInterval(
    values.map((value) => [value]),
    meanOfSums,
    options,
  );
}

export interface PairedTest {
  readonly baseline: Interval;
  readonly system: Interval;
  /** System minus baseline, with the 95 % interval of the resampled differences. */
  readonly difference: Interval;
  /**
   * How often chance alone would give so large a difference, by sacreBLEU's definition: among resamples, the share
   * whose absolute difference, less the mean absolute difference, exceeds the observed one; one is added to both
   * counts. Small means that the systems differ. One exception: systems that score the same in every resample get 1,
   * where sacreBLEU's strict comparison would give its smallest value.
   */
  readonly pValue: number;
  /** Share of resamples in which the system scores higher; ties count half. */
  readonly wins: number;
}

/** Paired bootstrap between two systems that answered the same items: both are resampled with the same draws. */
export function pairedBootstrap(
  baseline: StatisticRows,
  system: StatisticRows,
  score: ScoreOfSums,
  options: BootstrapOptions = {},
): PairedTest {
  return pairedFromDraws(baseline, system, score, [...resampled(baseline.length, options)]);
}

/** The same with the draws given: `draws[s][i]` is the item that resample `s` takes in place `i`. */
export function pairedFromDraws(
  baseline: StatisticRows,
  system: StatisticRows,
  score: ScoreOfSums,
  draws: readonly ArrayLike<number>[],
): PairedTest {
  if (baseline.length !== system.length) {
    throw new RangeError(
      `a paired test needs the same items from both systems: the baseline has ${baseline.length}, the other ${system.length}`,
    );
  }
  const [baseScore, systemScore] = [scoreOf(baseline, score), scoreOf(system, score)];
  const baseScores = scoresOf(baseline, score, draws);
  const systemScores = scoresOf(system, score, draws);
  const differences = systemScores.map((value, i) => value - baseScores[i]!);
  const absolute = differences.map(Math.abs);
  const mean = absolute.reduce((sum, value) => sum + value, 0) / Math.max(1, absolute.length);
  const observed = Math.abs(systemScore - baseScore);
  const beyond = absolute.filter((value) => value - mean > observed).length;
  const won = differences.reduce((sum, value) => sum + (value > 0 ? 1 : value === 0 ? 0.5 : 0), 0);
  return {
    baseline: intervalOf(baseScore, baseScores),
    system: intervalOf(systemScore, systemScores),
    difference: intervalOf(systemScore - baseScore, differences),
    pValue: absolute.every((value) => value === 0) ? 1 : (beyond + 1) / (absolute.length + 1),
    wins: differences.length === 0 ? 0.5 : won / differences.length,
  };
}

function* resampled(items: number, options: BootstrapOptions): Generator<Int32Array> {
  if (items === 0) return;
  const source = random(options.seed ?? 0, "bootstrap");
  for (let sample = 0; sample < (options.samples ?? 1000); sample++) {
    const draw = new Int32Array(items);
    for (let i = 0; i < items; i++) draw[i] = source.integer(items);
    yield draw;
  }
}

function scoreOf(rows: StatisticRows, score: ScoreOfSums): number {
  return scoresOf(rows, score, [Int32Array.from(rows, (_, i) => i)])[0]!;
}

function scoresOf(rows: StatisticRows, score: ScoreOfSums, draws: Iterable<ArrayLike<number>>): number[] {
  const width = rows[0]?.length ?? 1;
  const flat = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) flat.set(row, i * width);
  const scores: number[] = [];
  for (const draw of draws) {
    const sums = Array.from({ length: width }, () => 0);
    for (let i = 0; i < draw.length; i++) {
      const start = draw[i]! * width;
      for (let j = 0; j < width; j++) sums[j]! += flat[start + j]!;
    }
    scores.push(score(sums, draw.length));
  }
  return scores;
}

/** As sacreBLEU: a fortieth of the sorted scores lies beyond each end. */
function intervalOf(score: number, scores: readonly number[]): Interval {
  if (scores.length === 0) return { score, mean: score, low: score, high: score };
  const sorted = [...scores].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length / 40);
  return {
    score,
    mean: scores.reduce((sum, value) => sum + value, 0) / scores.length,
    low: sorted[cut]!,
    high: sorted[sorted.length - cut - 1]!,
  };
}
