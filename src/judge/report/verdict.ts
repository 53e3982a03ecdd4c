/** The answers that a reader wants first, worked out from the figures: better or not, by how much, for whom. */
import type {
  ReportedEvaluation,
  ReportedInterval,
  ReportedSlice,
  ReportedSystem,
} from "./evaluation-file.ts";
import type { ReportFacts } from "./types.ts";

export type Outcome = "better" | "worse" | "unclear" | "unknown";

export interface SliceGain {
  readonly slice: ReportedSlice;
  readonly before: ReportedSlice;
  /** BLEU-4 points. */
  readonly gain: number;
  /** Whether the two 95 % intervals are apart. */
  readonly clear: boolean;
}

export interface Verdict {
  readonly outcome: Outcome;
  /** The run's figures, and those it is compared with. */
  readonly tuned?: ReportedSystem;
  readonly base?: ReportedSystem;
  readonly bleu?: { readonly difference: ReportedInterval; readonly pValue: number };
  /** Held-out perplexity of the run over that of the base. */
  readonly perplexityRatio?: number;
  /** Largest gain first; slices of fewer than five replies are left out. */
  readonly gains: readonly SliceGain[];
  /** The best system that only looks replies up, where it scores higher than the run. */
  readonly beatenBy?: ReportedSystem;
  /** What people say, where enough of them have spoken. */
  readonly people?: {
    readonly difference: number;
    readonly low: number;
    readonly high: number;
    readonly prompts: number;
  };
}

const fewestReplies = 5;

export function verdictOf({ evaluation, ratings }: Pick<ReportFacts, "evaluation" | "ratings">): Verdict {
  const found = evaluation.found;
  const tuned = found === undefined ? undefined : judgedSystem(found);
  if (found === undefined || tuned === undefined) return { outcome: "unknown", gains: [] };
  const base = found.systems.find(({ kind }) => kind === "base");
  const comparison = tuned.comparison?.against === base?.name ? tuned.comparison : undefined;
  const lookups = found.systems
    .filter(({ kind, metrics }) => kind === "retrieval" && metrics.bleu4.score > tuned.metrics.bleu4.score)
    .sort((a, b) => b.metrics.bleu4.score - a.metrics.bleu4.score);
  const people = ratings.found?.comparisons.find(
    ({ baseline, system }) =>
      base !== undefined && [baseline, system].includes(base.name) && [baseline, system].includes(tuned.name),
  );
  const ratio =
    base?.perplexity === undefined || tuned.perplexity === undefined
      ? undefined
      : tuned.perplexity.score / base.perplexity.score;
  return {
    outcome: comparison === undefined ? "unknown" : outcomeOf(comparison.bleu4.difference),
    tuned,
    ...(base === undefined ? {} : { base }),
    ...(comparison === undefined ? {} : { bleu: comparison.bleu4 }),
    ...(ratio === undefined || !Number.isFinite(ratio) ? {} : { perplexityRatio: ratio }),
    gains: base === undefined ? [] : gainsOf(base, tuned),
    ...(lookups[0] === undefined ? {} : { beatenBy: lookups[0] }),
    ...(people === undefined || base === undefined
      ? {}
      : {
          people: {
            ...towards(people.overall.difference, people.system === tuned.name),
            prompts: people.prompts,
          },
        }),
  };
}

/** The system that the run is: its adapter, else another run, never the base. */
function judgedSystem({ systems }: ReportedEvaluation): ReportedSystem | undefined {
  return systems.find(({ kind }) => kind === "tuned") ?? systems.find(({ kind }) => kind === "run");
}

export function outcomeOf({ low, high }: Pick<ReportedInterval, "low" | "high">): Outcome {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return "unknown";
  return low > 0 ? "better" : high < 0 ? "worse" : "unclear";
}

function gainsOf(base: ReportedSystem, tuned: ReportedSystem): SliceGain[] {
  const gains = tuned.slices.flatMap((slice) => {
    const before = base.slices.find(({ by, name }) => by === slice.by && name === slice.name);
    if (before === undefined || slice.count < fewestReplies) return [];
    const gain = slice.bleu4.score - before.bleu4.score;
    if (!Number.isFinite(gain)) return [];
    const clear = slice.bleu4.low > before.bleu4.high || slice.bleu4.high < before.bleu4.low;
    return [{ slice, before, gain, clear }];
  });
  return gains.sort((a, b) => b.gain - a.gain);
}

function towards(
  { score, low, high }: ReportedInterval,
  forward: boolean,
): { difference: number; low: number; high: number } {
  return forward ? { difference: score, low, high } : { difference: -score, low: -high, high: -low };
}
