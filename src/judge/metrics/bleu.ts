/** BLEU (Papineni et al., 2002) exactly as sacreBLEU 2.x (Post, 2018) computes it, from per-sentence statistics. */
import { type BleuTokenizer, bleuTokenizers } from "./tokenizers.ts";
import { countValues, ngramNumbers, stripEnd } from "./text.ts";

export type BleuSmoothing = "exp" | "floor" | "add-k" | "none";

export interface BleuOptions {
  /** Default `13a`; Chinese needs `zh` or `char`. */
  readonly tokenizer?: BleuTokenizer;
  /** Default `exp`, sacreBLEU's own. */
  readonly smoothing?: BleuSmoothing;
  /** For `floor` (default 0.1) and `add-k` (default 1). */
  readonly smoothingValue?: number;
  readonly lowercase?: boolean;
  /** Stop at the longest order the sentence has n-grams of. Default: on for one sentence, off for a corpus. */
  readonly effectiveOrder?: boolean;
  /** Longest n-gram; default 4. */
  readonly maxOrder?: number;
}

export interface BleuScore {
  /** 0–100. */
  readonly score: number;
  /** 0–100, by order. */
  readonly precisions: readonly number[];
  readonly brevityPenalty: number;
  /** In tokens. */
  readonly predictionLength: number;
  /** In tokens, of the reference nearest in length. */
  readonly referenceLength: number;
  readonly matches: readonly number[];
  readonly totals: readonly number[];
  /** What was computed, in sacreBLEU's notation. */
  readonly signature: string;
}

/** [prediction length, reference length, matches by order …, totals by order …]: their sums give the corpus's score. */
export type BleuStatistics = readonly number[];

/**
 * Sufficient statistics of one prediction against its references.
 * @returns 2 + 2 · maxOrder counts
 */
export function bleuStatistics(
  prediction: string,
  references: readonly string[],
  options: BleuOptions = {},
): BleuStatistics {
  const maxOrder = options.maxOrder ?? 4;
  const numbers = ngramNumbers();
  const tokenize = (text: string): string[] =>
    bleuTokenizers[options.tokenizer ?? "13a"](
      stripEnd(options.lowercase === true ? text.toLowerCase() : text),
    );
  return ngramStatistics(tokenize(prediction), references.map(tokenize), maxOrder, numbers);
}

/** The same from tokens. */
export function ngramStatistics(
  prediction: readonly string[],
  references: readonly (readonly string[])[],
  maxOrder: number,
  numbers = ngramNumbers(),
): BleuStatistics {
  const predicted = numbers.of(prediction, maxOrder).map(countValues);
  const expected = references.map((reference) => numbers.of(reference, maxOrder).map(countValues));
  const matches: number[] = [];
  const totals: number[] = [];
  for (let order = 0; order < maxOrder; order++) {
    let matched = 0;
    for (const [gram, count] of predicted[order]!) {
      let most = 0;
      for (const counts of expected) most = Math.max(most, counts[order]!.get(gram) ?? 0);
      matched += Math.min(count, most);
    }
    matches.push(matched);
    totals.push(Math.max(0, prediction.length - order));
  }
  const lengths = references.map((reference) => reference.length);
  return [prediction.length, closestLength(prediction.length, lengths), ...matches, ...totals];
}

/** The reference length nearest to `length`; of two equally near, the shorter. */
export function closestLength(length: number, lengths: readonly number[]): number {
  let best = lengths[0] ?? 0;
  for (const candidate of lengths) {
    const [difference, least] = [Math.abs(candidate - length), Math.abs(best - length)];
    if (difference < least || (difference === least && candidate < best)) best = candidate;
  }
  return best;
}

/** The score of summed statistics. An empty prediction, or one without a matching word, scores 0. */
export function bleuFromStatistics(
  statistics: BleuStatistics,
  options: BleuOptions = {},
): Omit<BleuScore, "signature"> {
  const maxOrder = (statistics.length - 2) / 2;
  const [predictionLength, referenceLength] = [statistics[0]!, statistics[1]!];
  const matches = statistics.slice(2, 2 + maxOrder);
  const totals = statistics.slice(2 + maxOrder);
  const smoothing = options.smoothing ?? "exp";
  const value = options.smoothingValue ?? (smoothing === "floor" ? 0.1 : 1);
  let brevityPenalty = 1;
  if (predictionLength < referenceLength) {
    brevityPenalty = predictionLength > 0 ? Math.exp(1 - referenceLength / predictionLength) : 0;
  }
  const precisions = Array.from({ length: maxOrder }, () => 0);
  const result = { precisions, brevityPenalty, predictionLength, referenceLength, matches, totals };
  if (matches.every((count) => count === 0)) return { score: 0, ...result };
  let halvings = 1;
  let orders = maxOrder;
  for (let order = 0; order < maxOrder; order++) {
    if (smoothing === "add-k" && order > 0) {
      matches[order]! += value;
      totals[order]! += value;
    }
    if (totals[order] === 0) break;
    if (options.effectiveOrder === true) orders = order + 1;
    if (matches[order] === 0) {
      if (smoothing === "exp") {
        halvings *= 2;
        precisions[order] = 100 / (halvings * totals[order]!);
      } else if (smoothing === "floor") {
        precisions[order] = (100 * value) / totals[order]!;
      }
    } else {
      precisions[order] = (100 * matches[order]!) / totals[order]!;
    }
  }
  // sacreBLEU takes −9999999999 for the logarithm of nothing: the exponential of that is 0.
  const logs = precisions.slice(0, orders).map((p) => (p === 0 ? -9999999999 : Math.log(p)));
  const score = brevityPenalty * Math.exp(logs.reduce((sum, log) => sum + log, 0) / orders);
  return { score, ...result };
}

/** BLEU of a whole corpus: n-gram counts are summed before they are divided. `references[i]` are those of `predictions[i]`. */
export function corpusBleu(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  options: BleuOptions = {},
): BleuScore {
  requireReferences(predictions, references);
  const maxOrder = options.maxOrder ?? 4;
  const sums = sumStatistics(
    predictions.map((prediction, i) => bleuStatistics(prediction, references[i]!, options)),
    2 + 2 * maxOrder,
  );
  return {
    ...bleuFromStatistics(sums, options),
    signature: bleuSignature(
      references.map((list) => list.length),
      options,
    ),
  };
}

/** BLEU of one sentence, with effective order unless told otherwise. */
export function sentenceBleu(
  prediction: string,
  references: readonly string[],
  options: BleuOptions = {},
): BleuScore {
  return corpusBleu([prediction], [references], { effectiveOrder: true, ...options });
}

/** sacreBLEU's notation without its version: `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|by:attune`. */
export function bleuSignature(referenceCounts: readonly number[], options: BleuOptions = {}): string {
  const smoothing = options.smoothing ?? "exp";
  const value = options.smoothingValue ?? (smoothing === "floor" ? 0.1 : 1);
  const valued =
    smoothing === "floor" || smoothing === "add-k" ? `${smoothing}[${value.toFixed(2)}]` : smoothing;
  return [
    `nrefs:${referenceCountName(referenceCounts)}`,
    `case:${options.lowercase === true ? "lc" : "mixed"}`,
    `eff:${options.effectiveOrder === true ? "yes" : "no"}`,
    `tok:${options.tokenizer ?? "13a"}`,
    `smooth:${valued}`,
    ...((options.maxOrder ?? 4) === 4 ? [] : [`order:${options.maxOrder}`]),
    "by:attune",
  ].join("|");
}

/** The one number of references, or `var` where it differs. */
export function referenceCountName(counts: readonly number[]): string {
  const distinct = new Set(counts);
  return distinct.size === 1 ? String(counts[0]) : "var";
}

/** Component sums of equally long rows. */
export function sumStatistics(rows: readonly (readonly number[])[], width: number): number[] {
  const sums = Array.from({ length: width }, () => 0);
  for (const row of rows) for (let i = 0; i < width; i++) sums[i]! += row[i]!;
  return sums;
}

/** Every prediction has at least one reference; otherwise the caller has a defect. */
export function requireReferences(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
): void {
  if (predictions.length !== references.length) {
    throw new RangeError(
      `${predictions.length} predictions but ${references.length} lists of references: there must be one list a prediction`,
    );
  }
  const bare = references.findIndex((list) => list.length === 0);
  if (bare >= 0) throw new RangeError(`prediction ${bare} has no reference`);
}
