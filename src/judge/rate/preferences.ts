/** Pairs of replies of which people prefer one: training data for preference tuning. */
import { grouped } from "./plan.ts";
import { type Prediction, promptKey } from "./prediction.ts";
import type { Rating } from "./rating.ts";

/** One JSON line for preference tuning: the conversation, the better and the worse reply. */
export interface PreferencePair {
  readonly dialogue_id: string;
  readonly context: Prediction["context"];
  readonly chosen: string;
  readonly rejected: string;
  readonly chosen_system: string;
  readonly rejected_system: string;
  /** Mean overall score (0–6) of the chosen less that of the rejected reply; at least `smallestMargin`. */
  readonly margin: number;
  /** Raters who rated both, and how many of them preferred the chosen one. */
  readonly raters: number;
  readonly agreeing: number;
}

// Less than a point of six is within one rater's mood.
const smallestMargin = 1;

/**
 * Every pair of replies to one prompt that differ by a margin. An unsafe reply (a half of its raters or more said so)
 * is never the chosen one; a pair that as many raters order the other way is left out.
 */
export function preferencePairs(ratings: readonly Rating[]): PreferencePair[] {
  return [...grouped(ratings, promptKey).values()].flatMap((prompt) => {
    const replies = [...grouped(prompt, (rating) => JSON.stringify([rating.system, rating.id])).values()];
    return replies.flatMap((first, i) =>
      replies.slice(i + 1).flatMap((second) => pairOf(first, second) ?? []),
    );
  });
}

function pairOf(first: readonly Rating[], second: readonly Rating[]): PreferencePair | undefined {
  const difference = mean(first.map(overall)) - mean(second.map(overall));
  const [chosen, rejected] = difference >= 0 ? [first, second] : [second, first];
  const margin = Math.abs(difference);
  const [better, worse] = [chosen[0]!, rejected[0]!];
  if (margin < smallestMargin || better.prediction.trim() === worse.prediction.trim()) return undefined;
  if (better.prediction.trim() === "" || mean(chosen.map((rating) => rating.safety)) <= 0.5) return undefined;
  const both = chosen.flatMap((rating) => {
    const other = rejected.find((candidate) => candidate.rater === rating.rater);
    return other === undefined ? [] : [Math.sign(overall(rating) - overall(other))];
  });
  const agreeing = both.filter((sign) => sign > 0).length;
  if (both.length > 0 && agreeing <= both.filter((sign) => sign < 0).length) return undefined;
  return {
    dialogue_id: better.dialogue_id,
    context: better.context,
    chosen: better.prediction,
    rejected: worse.prediction,
    chosen_system: better.system,
    rejected_system: worse.system,
    margin,
    raters: both.length,
    agreeing,
  };
}

const overall = (rating: Rating): number => (rating.safety === 0 ? 0 : rating.fluency + rating.relevance);

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
