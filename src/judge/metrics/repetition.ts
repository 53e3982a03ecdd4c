/** Whether replies say different things: distinct-n, rep-n, stuck loops, and copies of an earlier turn. */
import { type BleuTokenizer, bleuTokenizers } from "./tokenizers.ts";
import { countValues, ngramNumbers } from "./text.ts";

/** A message of the conversation before the reply; fits `Message` of model/text. */
export interface EarlierTurn {
  readonly role: string;
  readonly content: string;
}

const tokensOf = (text: string, tokenizer: BleuTokenizer): string[] => bleuTokenizers[tokenizer](text);

/**
 * distinct-n (Li et al., 2016): different n-grams over all n-grams of all texts together; 0 where there are none.
 * It falls as the number of texts grows: compare only equally many.
 * @returns 0–1
 */
export function distinctN(texts: readonly string[], n: number, tokenizer: BleuTokenizer = "zh"): number {
  const numbers = ngramNumbers();
  const seen = new Set<number>();
  let total = 0;
  for (const text of texts) {
    const grams = numbers.of(tokensOf(text, tokenizer), n)[n - 1]!;
    total += grams.length;
    for (const gram of grams) seen.add(gram);
  }
  return total === 0 ? 0 : seen.size / total;
}

/**
 * rep-n (Welleck et al., 2020) of one text: the share of its n-grams that occurred in it before; 0 where it has none.
 * @returns 0–1
 */
export function repetitionN(text: string, n: number, tokenizer: BleuTokenizer = "zh"): number {
  const grams = ngramNumbers().of(tokensOf(text, tokenizer), n)[n - 1]!;
  return grams.length === 0 ? 0 : 1 - countValues(grams).size / grams.length;
}

export interface ConsecutiveRepeat {
  /** How many times the phrase stands in a row; 1 means no repeat. */
  readonly times: number;
  readonly phrase: string;
  /** Tokens that repeat what stands directly before them, over all tokens. 0–1. */
  readonly share: number;
}

/** The phrase of at most `longest` tokens that follows itself at greatest length: what a stuck model writes. */
export function consecutiveRepeat(
  text: string,
  longest = 16,
  tokenizer: BleuTokenizer = "zh",
): ConsecutiveRepeat {
  const tokens = tokensOf(text, tokenizer);
  let [bestRepeated, bestTimes, bestStart, bestWidth] = [0, 1, 0, 0];
  for (let width = 1; width <= Math.min(longest, Math.floor(tokens.length / 2)); width++) {
    let run = 0;
    for (let i = width; i <= tokens.length; i++) {
      if (i < tokens.length && tokens[i] === tokens[i - width]) {
        run += 1;
        continue;
      }
      const repeated = run - (run % width);
      if (repeated > bestRepeated) {
        [bestRepeated, bestTimes] = [repeated, 1 + repeated / width];
        [bestStart, bestWidth] = [i - run - width, width];
      }
      run = 0;
    }
  }
  return {
    times: bestTimes,
    phrase: tokens.slice(bestStart, bestStart + bestWidth).join(" "),
    share: tokens.length === 0 ? 0 : bestRepeated / tokens.length,
  };
}

export interface EarlierCopy {
  /** Who said it first. */
  readonly role: string;
  /** Index in the context. */
  readonly turn: number;
}

/** The latest earlier turn that a reply repeats word for word, letter case, spaces and punctuation aside. */
export function copyOfEarlierTurn(
  prediction: string,
  context: readonly EarlierTurn[],
): EarlierCopy | undefined {
  const said = bare(prediction);
  if (said === "") return undefined;
  for (let turn = context.length - 1; turn >= 0; turn--) {
    if (bare(context[turn]!.content) === said) return { role: context[turn]!.role, turn };
  }
  return undefined;
}

const bare = (text: string): string =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\p{P}\p{Z}\s]+/gu, "");

/**
 * Length of the predictions over that of their first references, in tokens.
 * @returns Infinity where the references are empty and the predictions are not; 1 where both are
 */
export function lengthRatio(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  tokenizer: BleuTokenizer = "zh",
): number {
  const length = (texts: readonly string[]): number =>
    texts.reduce((sum, text) => sum + tokensOf(text, tokenizer).length, 0);
  const [predicted, expected] = [length(predictions), length(references.map((list) => list[0] ?? ""))];
  return predicted === expected ? 1 : predicted / expected;
}

/** For each reason why generation ended (a stop token, the length limit …), its share of the replies. */
export function stoppedByShares(reasons: readonly string[]): ReadonlyMap<string, number> {
  const counts = [...countValues(reasons)].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return new Map(counts.map(([reason, count]) => [reason, count / reasons.length]));
}
