/** ROUGE-N, ROUGE-L and ROUGE-Lsum (Lin, 2004) as rouge_score computes them, with CJK text split by character. */
import { porterStem } from "./porter.ts";
import { requireReferences } from "./bleu.ts";
import { countValues, ngramNumbers, overlap } from "./text.ts";

export type RougeType = "rouge1" | "rouge2" | "rougeL" | "rougeLsum";
export const rougeTypes: readonly RougeType[] = ["rouge1", "rouge2", "rougeL", "rougeLsum"];

export interface RougeOptions {
  /** Porter stemming of words of more than three letters; default off, as in rouge_score. */
  readonly stemming?: boolean;
  /** `cjk` (default) makes each CJK character a token; `rouge_score` drops all that is not a–z and 0–9, as that package does. */
  readonly tokenizer?: "cjk" | "rouge_score";
}

export interface RougeScore {
  /** 0–1. */
  readonly precision: number;
  readonly recall: number;
  readonly fmeasure: number;
}

export type RougeScores = { readonly [K in RougeType]: RougeScore };

const zero: RougeScore = { precision: 0, recall: 0, fmeasure: 0 };

// The scripts written without spaces that rouge_score drops; any run of a–z and 0–9 is a word, as there.
const cjkTokens =
  /[a-z0-9]+|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}]/gu;
const asciiTokens = /[a-z0-9]+/g;

/** The tokens that ROUGE compares: lower case, without punctuation. */
export function rougeTokens(text: string, options: RougeOptions = {}): string[] {
  const tokens =
    text.toLowerCase().match(options.tokenizer === "rouge_score" ? asciiTokens : cjkTokens) ?? [];
  if (options.stemming !== true) return tokens;
  return tokens.map((token) => (token.length > 3 ? stemOf(token) : token));
}

const stems = new Map<string, string>();

function stemOf(word: string): string {
  if (word.length > 60) return porterStem(word);
  let stem = stems.get(word);
  if (stem === undefined) {
    if (stems.size > 50_000) stems.clear();
    stem = porterStem(word);
    stems.set(word, stem);
  }
  return stem;
}

/** Scores of one prediction; of several references each type takes the one with the best F (the first of equals). */
export function sentenceRouge(
  prediction: string,
  references: readonly string[],
  options: RougeOptions = {},
): RougeScores {
  const scored = references.map((reference) => pairRouge(prediction, reference, options));
  const best = (type: RougeType): RougeScore =>
    scored.reduce<RougeScore | undefined>(
      (top, scores) => (top === undefined || scores[type].fmeasure > top.fmeasure ? scores[type] : top),
      undefined,
    ) ?? zero;
  return {
    rouge1: best("rouge1"),
    rouge2: best("rouge2"),
    rougeL: best("rougeL"),
    rougeLsum: best("rougeLsum"),
  };
}

export interface CorpusRouge extends RougeScores {
  readonly signature: string;
}

/** Means over all predictions; an empty one counts as 0. */
export function corpusRouge(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  options: RougeOptions = {},
): CorpusRouge {
  requireReferences(predictions, references);
  const scored = predictions.map((prediction, i) => sentenceRouge(prediction, references[i]!, options));
  const mean = (type: RougeType): RougeScore => ({
    precision: average(scored.map((scores) => scores[type].precision)),
    recall: average(scored.map((scores) => scores[type].recall)),
    fmeasure: average(scored.map((scores) => scores[type].fmeasure)),
  });
  return {
    rouge1: mean("rouge1"),
    rouge2: mean("rouge2"),
    rougeL: mean("rougeL"),
    rougeLsum: mean("rougeLsum"),
    signature: rougeSignature(options),
  };
}

/** Which ROUGE it is: `tok:cjk|stem:no|lsum:newline|mean:f|by:attune`. */
export function rougeSignature(options: RougeOptions = {}): string {
  const stem = options.stemming === true ? "porter-nltk" : "no";
  return `tok:${options.tokenizer ?? "cjk"}|stem:${stem}|lsum:newline|by:attune`;
}

function average(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function pairRouge(prediction: string, reference: string, options: RougeOptions): RougeScores {
  const numbers = ngramNumbers();
  const [predicted1, predicted2] = numbers.of(rougeTokens(prediction, options), 2);
  const [expected1, expected2] = numbers.of(rougeTokens(reference, options), 2);
  const lines = (text: string): (readonly number[])[] =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => numbers.of(rougeTokens(line, options), 1)[0]!);
  return {
    rouge1: ngramScore(expected1!, predicted1!),
    rouge2: ngramScore(expected2!, predicted2!),
    rougeL: score(lcsLength(expected1!, predicted1!), predicted1!.length, expected1!.length),
    rougeLsum: summaryScore(lines(reference), lines(prediction)),
  };
}

function score(hits: number, predicted: number, expected: number): RougeScore {
  if (hits === 0) return zero;
  const [precision, recall] = [hits / predicted, hits / expected];
  return { precision, recall, fmeasure: (2 * precision * recall) / (precision + recall) };
}

function ngramScore(expected: readonly number[], predicted: readonly number[]): RougeScore {
  return score(overlap(countValues(expected), countValues(predicted)), predicted.length, expected.length);
}

/** Length of the longest common subsequence, in O(|a| · |b|) time and O(|b|) memory. */
export function lcsLength(a: readonly number[], b: readonly number[]): number {
  let row = new Int32Array(b.length + 1);
  let next = new Int32Array(b.length + 1);
  for (const left of a) {
    for (let j = 1; j <= b.length; j++) {
      next[j] = left === b[j - 1] ? row[j - 1]! + 1 : Math.max(row[j]!, next[j - 1]!);
    }
    [row, next] = [next, row];
  }
  return row[b.length]!;
}

/** Positions in `expected` of one longest common subsequence: of equally long ones, the one rouge_score finds. */
function lcsPositions(expected: readonly number[], predicted: readonly number[]): number[] {
  const width = predicted.length + 1;
  // One bit a cell says whether to step left; a full table of lengths would be 32 times as large.
  const left = new Uint8Array(Math.ceil(((expected.length + 1) * width) / 8));
  let row = new Int32Array(width);
  let next = new Int32Array(width);
  for (let i = 1; i <= expected.length; i++) {
    for (let j = 1; j < width; j++) {
      if (expected[i - 1] === predicted[j - 1]) {
        next[j] = row[j - 1]! + 1;
      } else if (next[j - 1]! > row[j]!) {
        next[j] = next[j - 1]!;
        const cell = i * width + j;
        left[cell >>> 3]! |= 1 << (cell & 7);
      } else {
        next[j] = row[j]!;
      }
    }
    [row, next] = [next, row];
  }
  const positions: number[] = [];
  let [i, j] = [expected.length, predicted.length];
  while (i > 0 && j > 0) {
    const cell = i * width + j;
    if (expected[i - 1] === predicted[j - 1]) {
      positions.push(i - 1);
      i -= 1;
      j -= 1;
    } else if ((left[cell >>> 3]! >>> (cell & 7)) & 1) {
      j -= 1;
    } else {
      i -= 1;
    }
  }
  return positions;
}

/** ROUGE-Lsum: union of the longest common subsequences of each reference line with every line of the prediction. */
function summaryScore(
  expected: readonly (readonly number[])[],
  predicted: readonly (readonly number[])[],
): RougeScore {
  const expectedLeft = countValues(expected.flat());
  const predictedLeft = countValues(predicted.flat());
  let hits = 0;
  for (const line of expected) {
    const union = new Set(predicted.flatMap((candidate) => lcsPositions(line, candidate)));
    for (const position of [...union].sort((a, b) => a - b)) {
      const token = line[position]!;
      const [inExpected, inPredicted] = [expectedLeft.get(token) ?? 0, predictedLeft.get(token) ?? 0];
      if (inExpected === 0 || inPredicted === 0) continue;
      hits += 1;
      expectedLeft.set(token, inExpected - 1);
      predictedLeft.set(token, inPredicted - 1);
    }
  }
  return score(hits, predicted.flat().length, expected.flat().length);
}
