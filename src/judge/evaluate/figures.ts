/** Records → figures: metrics with intervals, perplexity, slices, and the paired comparison with the first system. */
import {
  type Interval,
  type ReplyScore,
  bleuFromStatistics,
  bootstrapInterval,
  compareSystems,
  meanInterval,
  metricReport,
  scoreReplies,
  stoppedByShares,
} from "../metrics/index.ts";
import {
  type EvaluationItem,
  depthGroup,
  depthGroups,
  lengthGroup,
  lengthGroups,
  normalReply,
  scriptOf,
} from "./items.ts";
import type { Perplexity, PredictionRecord, SliceFigures, SystemFigures } from "./types.ts";

export interface SystemOutcome {
  readonly predictions: ReadonlyMap<string, PredictionRecord>;
  readonly losses: ReadonlyMap<string, { readonly nats: number; readonly tokens: number }>;
}

interface ScoreOptions {
  readonly samples?: number;
  readonly seed: number;
}

const mostIntents = 40;

export function perplexityOf(
  losses: readonly { readonly nats: number; readonly tokens: number }[],
  options: ScoreOptions,
): Perplexity | undefined {
  const nats = losses.reduce((sum, loss) => sum + loss.nats, 0);
  const tokens = losses.reduce((sum, loss) => sum + loss.tokens, 0);
  if (tokens === 0) return undefined;
  const rows = losses.map((loss) => [loss.nats, loss.tokens]);
  const interval = bootstrapInterval(
    rows,
    ([nats, tokens]) => (tokens === 0 ? 1 : Math.exp(nats! / tokens!)),
    options,
  );
  return { ...interval, nats, tokens };
}

/** All that the replies themselves say. `first` is the system that others are compared with. */
export function scoreSystem(
  items: readonly EvaluationItem[],
  outcome: SystemOutcome,
  first: { readonly name: string; readonly outcome: SystemOutcome } | undefined,
  options: ScoreOptions,
): Omit<SystemFigures, "name" | "kind" | "about" | "parameters" | "speed" | "general"> {
  const replies = items.map(({ id }) => outcome.predictions.get(id)!);
  const texts = replies.map(({ prediction }) => prediction);
  const references = items.map((item) => item.references);
  const metrics = metricReport(texts, references, options);
  const scores = scoreReplies(texts, references, { language: metrics.language });
  const losses = items.map(({ id }) => outcome.losses.get(id));
  const perplexity = perplexityOf(
    losses.filter((loss) => loss !== undefined),
    options,
  );
  const generated = replies.filter(({ stopped_by }) => stopped_by !== "prompt too long");
  const seconds = replies.reduce((sum, reply) => sum + reply.elapsed_seconds, 0);
  const { language } = metrics;
  return {
    metrics,
    ...(perplexity === undefined ? {} : { perplexity }),
    slices: slicesOf(items, texts, scores, losses, options),
    ...(first === undefined
      ? {}
      : {
          comparison: {
            against: first.name,
            ...compareSystems(
              items.map(({ id }) => first.outcome.predictions.get(id)!.prediction),
              texts,
              references,
              { ...options, language },
            ),
          },
        }),
    stoppedBy: Object.fromEntries(stoppedByShares(replies.map(({ stopped_by }) => stopped_by))),
    shortenedPrompts: replies.filter(({ dropped_messages }) => dropped_messages > 0).length,
    unansweredPrompts: replies.length - generated.length,
    meanReplyTokens: replies.reduce((sum, { tokens }) => sum + tokens, 0) / Math.max(1, generated.length),
    generation: {
      replies: replies.length,
      seconds,
      repliesPerSecond: seconds === 0 ? 0 : generated.length / seconds,
    },
  };
}

function slicesOf(
  items: readonly EvaluationItem[],
  texts: readonly string[],
  scores: readonly ReplyScore[],
  losses: readonly ({ readonly nats: number; readonly tokens: number } | undefined)[],
  options: ScoreOptions,
): SliceFigures[] {
  // Intervals of slices are coarser: there are many of them.
  const coarse = { ...options, samples: Math.min(options.samples ?? 1000, 300) };
  const slice = (by: SliceFigures["by"], name: string, chosen: readonly number[]): SliceFigures => {
    const rows = chosen.map((index) => scores[index]!);
    const bleu4: Interval = bootstrapInterval(
      rows.map(({ bleuStatistics }) => bleuStatistics),
      (sums) => (sums.length < 4 ? 0 : bleuFromStatistics(sums).score),
      coarse,
    );
    const perplexity = perplexityOf(
      chosen.flatMap((index) => losses[index] ?? []),
      coarse,
    );
    const equal = chosen.filter((index) =>
      items[index]!.references.some((reference) => normalReply(reference) === normalReply(texts[index]!)),
    ).length;
    return {
      by,
      name,
      count: chosen.length,
      bleu4,
      rougeL: meanInterval(
        rows.map(({ rouge }) => rouge.rougeL.fmeasure),
        coarse,
      ),
      exact: equal / chosen.length,
      ...(perplexity === undefined ? {} : { perplexity }),
    };
  };
  const grouped = (
    by: SliceFigures["by"],
    nameOf: (item: EvaluationItem) => string | undefined,
    order?: readonly string[],
  ): SliceFigures[] => {
    const groups = new Map<string, number[]>((order ?? []).map((name) => [name, []]));
    for (const [index, item] of items.entries()) {
      const name = nameOf(item);
      if (name === undefined) continue;
      const group = groups.get(name);
      if (group === undefined) groups.set(name, [index]);
      else group.push(index);
    }
    const filled = [...groups].filter(([, chosen]) => chosen.length > 0);
    if (order === undefined) filled.sort((a, b) => b[1].length - a[1].length || (a[0] < b[0] ? -1 : 1));
    return filled.slice(0, mostIntents).map(([name, chosen]) => slice(by, name, chosen));
  };
  return [
    ...grouped("depth", ({ depth }) => depthGroup(depth), depthGroups),
    ...grouped("length", ({ references }) => lengthGroup(references[0]!), lengthGroups),
    ...grouped("seen", ({ seen }) => (seen ? "seen" : "unseen"), ["unseen", "seen"]),
    ...grouped("script", ({ references }) => scriptOf(references[0]!), ["other", "cjk"]),
    ...grouped("intent", ({ intent }) => intent),
  ];
}
