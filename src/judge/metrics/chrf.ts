/** chrF (Popović, 2015) and chrF++ (2017) as sacreBLEU 2.x computes them. */
import { referenceCountName, requireReferences, sumStatistics } from "./bleu.ts";
import { countValues, ngramNumbers, overlap, splitWords } from "./text.ts";

export interface ChrfOptions {
  /** Longest character n-gram; default 6. */
  readonly characterOrder?: number;
  /** Longest word n-gram; 0 (default) is chrF, 2 is chrF++. */
  readonly wordOrder?: number;
  /** Weight of recall against precision; default 2. */
  readonly beta?: number;
  readonly lowercase?: boolean;
  /** Count white space as characters; default no. */
  readonly whitespace?: boolean;
}

export interface ChrfScore {
  /** 0–100. */
  readonly score: number;
  readonly signature: string;
}

/** [n-grams of the prediction, of the reference, shared] for each order: their sums give the corpus's score. */
export type ChrfStatistics = readonly number[];

/**
 * Statistics of one prediction against the reference that scores best.
 * @returns 3 · (characterOrder + wordOrder) counts
 */
export function chrfStatistics(
  prediction: string,
  references: readonly string[],
  options: ChrfOptions = {},
): ChrfStatistics {
  const characters = ngramNumbers();
  const words = ngramNumbers();
  const countsOf = (text: string): Map<number, number>[] => {
    const cased = options.lowercase === true ? text.toLowerCase() : text;
    const joined = options.whitespace === true ? cased : splitWords(cased).join("");
    const wordOrder = options.wordOrder ?? 0;
    return [
      ...characters.of([...joined], options.characterOrder ?? 6),
      ...(wordOrder === 0 ? [] : words.of(separatePunctuation(cased), wordOrder)),
    ].map(countValues);
  };
  const predicted = countsOf(prediction);
  let best: ChrfStatistics = [];
  let bestScore = -1;
  for (const reference of references) {
    const expected = countsOf(reference);
    const statistics = predicted.flatMap((counts, order) => {
      const others = expected[order]!;
      return [others.size === 0 ? 0 : total(counts), total(others), overlap(counts, others)];
    });
    const score = chrfFromStatistics(statistics, options);
    if (score > bestScore) [best, bestScore] = [statistics, score];
  }
  return best;
}

function total(counts: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

/** One mark at the end of a word, or else at its start, is a word of its own (not both, as in sacreBLEU). */
function separatePunctuation(text: string): string[] {
  const isMark = (character: string): boolean => /[!-/:-@[-`{-~]/.test(character);
  return splitWords(text).flatMap((word) => {
    if (word.length === 1) return [word];
    if (isMark(word.at(-1)!)) return [word.slice(0, -1), word.at(-1)!];
    return isMark(word[0]!) ? [word[0]!, word.slice(1)] : [word];
  });
}

/** 0–100; orders that either side has no n-gram of are left out of the mean. */
export function chrfFromStatistics(statistics: ChrfStatistics, options: ChrfOptions = {}): number {
  const weight = (options.beta ?? 2) ** 2;
  let [precision, recall, orders] = [0, 0, 0];
  for (let i = 0; i < statistics.length; i += 3) {
    const [predicted, expected, shared] = [statistics[i]!, statistics[i + 1]!, statistics[i + 2]!];
    if (predicted === 0 || expected === 0) continue;
    precision += shared / predicted;
    recall += shared / expected;
    orders += 1;
  }
  if (precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  return (100 * (1 + weight) * precision * recall) / (weight * precision + recall);
}

export function corpusChrf(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  options: ChrfOptions = {},
): ChrfScore {
  requireReferences(predictions, references);
  const width = 3 * ((options.characterOrder ?? 6) + (options.wordOrder ?? 0));
  const sums = sumStatistics(
    predictions.map((prediction, i) => chrfStatistics(prediction, references[i]!, options)),
    width,
  );
  return {
    score: chrfFromStatistics(sums, options),
    signature: chrfSignature(
      references.map((list) => list.length),
      options,
    ),
  };
}

export function sentenceChrf(
  prediction: string,
  references: readonly string[],
  options: ChrfOptions = {},
): ChrfScore {
  return corpusChrf([prediction], [references], options);
}

/** sacreBLEU's notation without its version. */
export function chrfSignature(referenceCounts: readonly number[], options: ChrfOptions = {}): string {
  return [
    `nrefs:${referenceCountName(referenceCounts)}`,
    `case:${options.lowercase === true ? "lc" : "mixed"}`,
    "eff:yes",
    `nc:${options.characterOrder ?? 6}`,
    `nw:${options.wordOrder ?? 0}`,
    `space:${options.whitespace === true ? "yes" : "no"}`,
    "by:attune",
  ].join("|");
}
