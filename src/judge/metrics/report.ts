/** All text metrics of one system's replies at once, with intervals and signatures. */
import {
  type BleuOptions,
  type BleuScore,
  bleuFromStatistics,
  bleuSignature,
  bleuStatistics,
  requireReferences,
  sumStatistics,
} from "./bleu.ts";
import {
  type BootstrapOptions,
  type Interval,
  type PairedTest,
  bootstrapInterval,
  meanInterval,
  meanOfSums,
  pairedBootstrap,
} from "./bootstrap.ts";
import { chrfFromStatistics, chrfSignature, chrfStatistics } from "./chrf.ts";
import { consecutiveRepeat, distinctN, lengthRatio, repetitionN } from "./repetition.ts";
import { type RougeScores, rougeSignature, sentenceRouge } from "./rouge.ts";
import { isMostlyCjk, splitWords } from "./text.ts";

export interface ReportOptions extends BootstrapOptions {
  /** Tokenisation of BLEU; `auto` (default) takes `zh` for mostly Chinese, Japanese or Korean references, else `13a`. */
  readonly language?: "auto" | "en" | "zh";
  /** Overrides the language's tokeniser and any other BLEU setting. */
  readonly bleu?: BleuOptions;
  /** Porter stemming for ROUGE; default off. */
  readonly stemming?: boolean;
}

export interface MetricReport {
  readonly count: number;
  /** Predictions without a visible character; each scores 0. */
  readonly empty: number;
  /** Share of predictions equal to a reference, outer white space aside. 0–1. */
  readonly exact: number;
  readonly language: "en" | "zh";
  /** Corpus BLEU-4, 0–100. */
  readonly bleu4: Interval;
  readonly bleu: BleuScore;
  /** Means of F, 0–1. */
  readonly rouge1: Interval;
  readonly rouge2: Interval;
  readonly rougeL: Interval;
  readonly rougeLsum: Interval;
  /** 0–100. */
  readonly chrf: Interval;
  readonly distinct1: number;
  readonly distinct2: number;
  /** Mean rep-4 of the predictions, and of the first references for comparison. 0–1. */
  readonly repetition4: number;
  readonly referenceRepetition4: number;
  /** Share of predictions in which a phrase stands three times or more in a row. 0–1. */
  readonly stuck: number;
  /** Tokens of the predictions over tokens of the first references. */
  readonly lengthRatio: number;
  readonly signatures: { readonly bleu: string; readonly rouge: string; readonly chrf: string };
}

/** What one reply scored; the rows that intervals, slices and paired tests are made of. */
export interface ReplyScore {
  readonly bleuStatistics: readonly number[];
  readonly chrfStatistics: readonly number[];
  readonly rouge: RougeScores;
  /** Sentence BLEU with effective order, 0–100. */
  readonly bleu: number;
}

/** The settings that `report` fixed for a set of references. */
function settings(
  references: readonly (readonly string[])[],
  options: ReportOptions,
): {
  language: "en" | "zh";
  bleu: BleuOptions;
} {
  const chosen = options.language ?? "auto";
  const language = chosen === "auto" ? (isMostlyCjk(references.flat()) ? "zh" : "en") : chosen;
  return { language, bleu: { tokenizer: language === "zh" ? "zh" : "13a", ...options.bleu } };
}

/** Scores each reply by itself. `references[i]` are those of `predictions[i]`. */
export function scoreReplies(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  options: ReportOptions = {},
): readonly ReplyScore[] {
  requireReferences(predictions, references);
  const { bleu } = settings(references, options);
  const stemming = options.stemming === true;
  return predictions.map((prediction, i) => {
    const statistics = bleuStatistics(prediction, references[i]!, bleu);
    return {
      bleuStatistics: statistics,
      chrfStatistics: chrfStatistics(prediction, references[i]!),
      rouge: sentenceRouge(prediction, references[i]!, { stemming }),
      bleu: bleuFromStatistics(statistics, { ...bleu, effectiveOrder: true }).score,
    };
  });
}

/** Every metric of one system. An empty prediction scores 0 and is never skipped; no predictions at all score 0. */
export function metricReport(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  options: ReportOptions = {},
): MetricReport {
  const { language, bleu } = settings(references, options);
  const scored = scoreReplies(predictions, references, options);
  const firsts = references.map((list) => list[0]!);
  const rouge = (type: keyof RougeScores): Interval =>
    meanInterval(
      scored.map((reply) => reply.rouge[type].fmeasure),
      options,
    );
  const sums = sumStatistics(
    scored.map((reply) => reply.bleuStatistics),
    2 + 2 * (bleu.maxOrder ?? 4),
  );
  const signature = bleuSignature(
    references.map((list) => list.length),
    bleu,
  );
  return {
    count: predictions.length,
    empty: predictions.filter((text) => splitWords(text).length === 0).length,
    exact: share(predictions, (text, i) => references[i]!.some((other) => other.trim() === text.trim())),
    language,
    bleu4: bootstrapInterval(
      scored.map((reply) => reply.bleuStatistics),
      scoreOfBleu(bleu),
      options,
    ),
    bleu: { ...bleuFromStatistics(sums, bleu), signature },
    rouge1: rouge("rouge1"),
    rouge2: rouge("rouge2"),
    rougeL: rouge("rougeL"),
    rougeLsum: rouge("rougeLsum"),
    chrf: bootstrapInterval(
      scored.map((reply) => reply.chrfStatistics),
      (sums) => chrfFromStatistics(sums),
      options,
    ),
    distinct1: distinctN(predictions, 1),
    distinct2: distinctN(predictions, 2),
    repetition4: average(predictions.map((text) => repetitionN(text, 4))),
    referenceRepetition4: average(firsts.map((text) => repetitionN(text, 4))),
    stuck: share(predictions, (text) => consecutiveRepeat(text).times >= 3),
    lengthRatio: lengthRatio(predictions, references),
    signatures: {
      bleu: signature,
      rouge: rougeSignature({ stemming: options.stemming === true }),
      chrf: chrfSignature(references.map((list) => list.length)),
    },
  };
}

export interface Comparison {
  readonly bleu4: PairedTest;
  readonly rougeL: PairedTest;
  readonly chrf: PairedTest;
}

/** Paired bootstrap of two systems that answered the same prompts. */
export function compareSystems(
  baseline: readonly string[],
  system: readonly string[],
  references: readonly (readonly string[])[],
  options: ReportOptions = {},
): Comparison {
  const { bleu } = settings(references, options);
  const [base, other] = [
    scoreReplies(baseline, references, options),
    scoreReplies(system, references, options),
  ];
  const paired = (
    rows: (reply: ReplyScore) => readonly number[],
    score: Parameters<typeof pairedBootstrap>[2],
  ): PairedTest => pairedBootstrap(base.map(rows), other.map(rows), score, options);
  return {
    bleu4: paired((reply) => reply.bleuStatistics, scoreOfBleu(bleu)),
    rougeL: paired((reply) => [reply.rouge.rougeL.fmeasure], meanOfSums),
    chrf: paired(
      (reply) => reply.chrfStatistics,
      (sums) => chrfFromStatistics(sums),
    ),
  };
}

const scoreOfBleu =
  (options: BleuOptions) =>
  (sums: readonly number[]): number =>
    bleuFromStatistics(sums, options).score;

function share<T>(items: readonly T[], holds: (item: T, index: number) => boolean): number {
  return items.length === 0 ? 0 : items.filter(holds).length / items.length;
}

function average(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
