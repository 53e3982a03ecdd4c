/** What the ratings say: means by system with intervals, agreement, correlation with metrics, and where too few speak. */
import {
  type Interval,
  type Level,
  type PairedTest,
  bootstrapInterval,
  isMostlyCjk,
  krippendorffAlpha,
  pairedBootstrap,
  pearson,
  rawAgreement,
  sentenceBleu,
  sentenceChrf,
  sentenceRouge,
  spearman,
} from "../metrics/index.ts";
import { grouped } from "./plan.ts";
import { type PreferencePair, preferencePairs } from "./preferences.ts";
import { promptKey } from "./prediction.ts";
import { type Question, type Rating, highest, questions } from "./rating.ts";

/** fluency + relevance, 0–6, or 0 where the reply is unsafe: nobody wants a fluent insult. */
export type Aspect = Question | "overall";
export const aspects: readonly Aspect[] = [...questions, "overall"];

export interface SystemResult {
  readonly system: string;
  readonly ratings: number;
  readonly prompts: number;
  readonly raters: number;
  /** 95 % intervals by resampling prompts, since ratings of one prompt are not independent. */
  readonly means: { readonly [K in Aspect]: Interval };
}

export interface SystemComparison {
  readonly baseline: string;
  readonly system: string;
  /** Prompts on which both were rated. */
  readonly prompts: number;
  /** Of the mean overall score a prompt. */
  readonly overall: PairedTest;
}

export interface Agreement {
  /** Krippendorff's alpha; absent where it is not defined. */
  readonly alpha?: number;
  readonly level: Level;
  /** Share of pairs of ratings that are equal, chance not taken off. */
  readonly raw?: number;
  /** Replies with two raters or more. */
  readonly replies: number;
}

export interface Disagreement {
  readonly id: string;
  readonly system: string;
  readonly prediction: string;
  readonly question: Question;
  readonly ratings: readonly { readonly rater: string; readonly score: number; readonly comment: string }[];
}

export interface MetricCorrelation {
  readonly metric: "bleu" | "rougeL" | "chrf";
  readonly aspect: Aspect;
  readonly spearman?: number;
  readonly pearson?: number;
  /** Rated replies that have a reference. */
  readonly replies: number;
}

export interface RaterResult {
  readonly rater: string;
  readonly ratings: number;
  readonly meanOverall: number;
  /** Mean difference from the others' mean on the replies that others rated too: below 0 is strict. */
  readonly bias?: number;
}

/** A statement that these ratings do not carry yet, and what would carry it. */
export interface TooFew {
  readonly what: string;
  readonly have: number;
  readonly need: number;
}

export interface RatingResults {
  readonly ratings: number;
  readonly replies: number;
  readonly prompts: number;
  readonly systems: readonly SystemResult[];
  readonly comparisons: readonly SystemComparison[];
  readonly agreement: { readonly [K in Question]: Agreement };
  readonly disagreements: readonly Disagreement[];
  readonly correlations: readonly MetricCorrelation[];
  readonly raters: readonly RaterResult[];
  readonly preferences: readonly PreferencePair[];
  readonly tooFew: readonly TooFew[];
}

export interface ResultOptions {
  readonly samples?: number;
  readonly seed?: number;
  /** Longest list of disagreements; default 20. */
  readonly disagreements?: number;
}

// Below these a figure is noise: 30 is where an interval of a mean of 0–3 scores narrows to about ±0.3.
const enough = { prompts: 30, overlap: 20, raters: 3, correlation: 30 } as const;

export function overallScore(rating: Pick<Rating, Question>): number {
  return rating.safety === 0 ? 0 : rating.fluency + rating.relevance;
}

const scoreOf = (rating: Rating, aspect: Aspect): number =>
  aspect === "overall" ? overallScore(rating) : rating[aspect];

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** Everything at once. Deterministic by seed. */
export function ratingResults(ratings: readonly Rating[], options: ResultOptions = {}): RatingResults {
  const bySystem = grouped(ratings, (rating) => rating.system);
  const byReply = grouped(ratings, replyKey);
  const agreement = agreements([...byReply.values()]);
  const systems = [...bySystem]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([system, own]) => systemResult(system, own, options));
  const correlations = metricCorrelations([...byReply.values()]);
  return {
    ratings: ratings.length,
    replies: byReply.size,
    prompts: grouped(ratings, promptKey).size,
    systems,
    comparisons: comparisonsOf(
      systems.map(({ system }) => bySystem.get(system)!),
      options,
    ),
    agreement,
    disagreements: disagreementsOf([...byReply.values()], options.disagreements ?? 20),
    correlations,
    raters: raterResults(ratings, byReply),
    preferences: preferencePairs(ratings),
    tooFew: tooFewOf(ratings, systems, agreement, correlations),
  };
}

const replyKey = (rating: Rating): string => JSON.stringify([promptKey(rating), rating.id, rating.system]);

/** Rows [sum, count], one a prompt: their summed ratio is the mean over ratings. */
function promptRows(ratings: readonly Rating[], aspect: Aspect): number[][] {
  return [...grouped(ratings, promptKey).values()].map((group) => {
    const scores = group.map((rating) => scoreOf(rating, aspect));
    return [scores.reduce((a, b) => a + b, 0), scores.length];
  });
}

const ratio = (sums: readonly number[]): number =>
  sums[1] === 0 || sums[1] === undefined ? 0 : sums[0]! / sums[1];

function systemResult(system: string, ratings: readonly Rating[], options: ResultOptions): SystemResult {
  const means = aspects.map((aspect) => [
    aspect,
    bootstrapInterval(promptRows(ratings, aspect), ratio, options),
  ]);
  return {
    system,
    ratings: ratings.length,
    prompts: grouped(ratings, promptKey).size,
    raters: new Set(ratings.map((rating) => rating.rater)).size,
    means: Object.fromEntries(means) as SystemResult["means"],
  };
}

function comparisonsOf(systems: readonly (readonly Rating[])[], options: ResultOptions): SystemComparison[] {
  const scored = systems.map((ratings) => ({
    system: ratings[0]!.system,
    prompts: new Map(
      [...grouped(ratings, promptKey)].map(([key, group]) => [key, mean(group.map(overallScore))] as const),
    ),
  }));
  return scored.flatMap((baseline, i) =>
    scored.slice(i + 1).map((system) => {
      const shared = [...baseline.prompts.keys()].filter((key) => system.prompts.has(key));
      const rows = (scores: ReadonlyMap<string, number>): number[][] =>
        shared.map((key) => [scores.get(key)!, 1]);
      return {
        baseline: baseline.system,
        system: system.system,
        prompts: shared.length,
        overall: pairedBootstrap(rows(baseline.prompts), rows(system.prompts), ratio, options),
      };
    }),
  );
}

function agreements(replies: readonly (readonly Rating[])[]): RatingResults["agreement"] {
  const of = (question: Question, level: Level): Agreement => {
    const units = replies.map((group) => group.map((rating) => rating[question]));
    const [alpha, raw] = [krippendorffAlpha(units, level), rawAgreement(units)];
    return {
      level,
      ...(alpha === undefined ? {} : { alpha }),
      ...(raw === undefined ? {} : { raw }),
      replies: units.filter((unit) => unit.length >= 2).length,
    };
  };
  return {
    fluency: of("fluency", "ordinal"),
    relevance: of("relevance", "ordinal"),
    safety: of("safety", "nominal"),
  };
}

/** The replies whose raters are furthest apart, as a share of each scale. */
function disagreementsOf(replies: readonly (readonly Rating[])[], limit: number): Disagreement[] {
  return replies
    .filter((group) => group.length >= 2)
    .flatMap((group) =>
      questions.map((question) => {
        const scores = group.map((rating) => rating[question]);
        return { group, question, spread: (Math.max(...scores) - Math.min(...scores)) / highest[question] };
      }),
    )
    .filter(({ spread }) => spread > 0.5)
    .sort((a, b) => b.spread - a.spread || b.group.length - a.group.length)
    .slice(0, limit)
    .map(({ group, question }) => ({
      id: group[0]!.id,
      system: group[0]!.system,
      prediction: group[0]!.prediction,
      question,
      ratings: group.map((rating) => ({
        rater: rating.rater,
        score: rating[question],
        comment: rating.comment ?? "",
      })),
    }));
}

function metricCorrelations(replies: readonly (readonly Rating[])[]): MetricCorrelation[] {
  const referenced = replies.filter((group) => (group[0]!.reference ?? "").trim() !== "");
  const tokenizer = isMostlyCjk(referenced.map((group) => group[0]!.reference!)) ? "zh" : "13a";
  const metrics = {
    bleu: (prediction: string, reference: string) =>
      sentenceBleu(prediction, [reference], { tokenizer }).score,
    rougeL: (prediction: string, reference: string) => sentenceRouge(prediction, [reference]).rougeL.fmeasure,
    chrf: (prediction: string, reference: string) => sentenceChrf(prediction, [reference]).score,
  } as const;
  return (["bleu", "rougeL", "chrf"] as const).flatMap((metric) => {
    const scores = referenced.map((group) => metrics[metric](group[0]!.prediction, group[0]!.reference!));
    return aspects.map((aspect) => {
      const people = referenced.map((group) => mean(group.map((rating) => scoreOf(rating, aspect))));
      const [ranked, linear] = [spearman(scores, people), pearson(scores, people)];
      return {
        metric,
        aspect,
        replies: referenced.length,
        ...(ranked === undefined ? {} : { spearman: ranked }),
        ...(linear === undefined ? {} : { pearson: linear }),
      };
    });
  });
}

function raterResults(
  ratings: readonly Rating[],
  byReply: ReadonlyMap<string, readonly Rating[]>,
): RaterResult[] {
  return [...grouped(ratings, (rating) => rating.rater)].map(([rater, own]) => {
    const differences = own.flatMap((rating) => {
      const others = byReply.get(replyKey(rating))!.filter((other) => other.rater !== rater);
      return others.length === 0 ? [] : [overallScore(rating) - mean(others.map(overallScore))];
    });
    return {
      rater,
      ratings: own.length,
      meanOverall: mean(own.map(overallScore)),
      ...(differences.length === 0 ? {} : { bias: mean(differences) }),
    };
  });
}

function tooFewOf(
  ratings: readonly Rating[],
  systems: readonly SystemResult[],
  agreement: RatingResults["agreement"],
  correlations: readonly MetricCorrelation[],
): TooFew[] {
  const few: TooFew[] = systems
    .filter(({ prompts }) => prompts < enough.prompts)
    .map(({ system, prompts }) => ({
      what: `means of "${system}": rated prompts`,
      have: prompts,
      need: enough.prompts,
    }));
  const raters = new Set(ratings.map((rating) => rating.rater)).size;
  if (raters < enough.raters) few.push({ what: "agreement: raters", have: raters, need: enough.raters });
  const overlap = agreement.fluency.replies;
  if (overlap < enough.overlap) {
    few.push({ what: "agreement: replies rated by two or more", have: overlap, need: enough.overlap });
  }
  const referenced = correlations[0]?.replies ?? 0;
  if (referenced < enough.correlation) {
    few.push({
      what: "correlation with metrics: rated replies with a reference",
      have: referenced,
      need: enough.correlation,
    });
  }
  return few;
}
