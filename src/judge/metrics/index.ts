/** Figures for texts and for raters: pure functions, equal to the reference implementations' own. */
export { cohenKappa, krippendorffAlpha, pearson, rawAgreement, spearman } from "./agreement.ts";
export type { KappaWeights, Level } from "./agreement.ts";
export {
  bleuFromStatistics,
  bleuSignature,
  bleuStatistics,
  corpusBleu,
  sentenceBleu,
  sumStatistics,
} from "./bleu.ts";
export type { BleuOptions, BleuScore, BleuSmoothing, BleuStatistics } from "./bleu.ts";
export { bootstrapInterval, meanInterval, meanOfSums, pairedBootstrap } from "./bootstrap.ts";
export type { BootstrapOptions, Interval, PairedTest, ScoreOfSums, StatisticRows } from "./bootstrap.ts";
export { chrfFromStatistics, chrfSignature, chrfStatistics, corpusChrf, sentenceChrf } from "./chrf.ts";
export type { ChrfOptions, ChrfScore, ChrfStatistics } from "./chrf.ts";
export { asPythonJieba, icuWords, otherBleu, otherBleuNames } from "./other-trainers.ts";
export type { OtherBleu, OtherBleuScore, WordSegmenter } from "./other-trainers.ts";
export {
  consecutiveRepeat,
  copyOfEarlierTurn,
  distinctN,
  lengthRatio,
  repetitionN,
  stoppedByShares,
} from "./repetition.ts";
export type { ConsecutiveRepeat, EarlierCopy, EarlierTurn } from "./repetition.ts";
export { compareSystems, metricReport, scoreReplies } from "./report.ts";
export type { Comparison, MetricReport, ReplyScore, ReportOptions } from "./report.ts";
export { corpusRouge, rougeSignature, rougeTokens, rougeTypes, sentenceRouge } from "./rouge.ts";
export type { CorpusRouge, RougeOptions, RougeScore, RougeScores, RougeType } from "./rouge.ts";
export { isMostlyCjk } from "./text.ts";
export { bleuTokenizers } from "./tokenizers.ts";
export type { BleuTokenizer } from "./tokenizers.ts";
