/** From logits to a token: repetition penalty, temperature, top-k, top-p, in the order of transformers. */
import type { Random } from "../../util/index.ts";

export interface SamplingOptions {
  /** 0 takes the most likely token. */
  readonly temperature: number;
  /** Keeps this many of the most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keeps the smallest set of tokens whose probabilities reach this sum; 1 keeps all. */
  readonly topP: number;
  /** Above 1 makes tokens that are already there less likely (Keskar et al., 2019). */
  readonly repetitionPenalty: number;
}

export const greedy: SamplingOptions = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1 };

/** Whether the arg max alone decides, so that logits need not leave the device. */
export function isPlainGreedy({ temperature, repetitionPenalty }: SamplingOptions): boolean {
  return temperature === 0 && repetitionPenalty === 1;
}

/** `seen` holds the ids of the prompt and of the reply so far. `logits` [V] is not changed. */
export function sample(
  logits: Float32Array,
  seen: ReadonlySet<number>,
  options: SamplingOptions,
  random: Random,
): number {
  const { temperature, topK, topP, repetitionPenalty } = options;
  const scores = repetitionPenalty === 1 ? logits : penalised(logits, seen, repetitionPenalty);
  if (temperature === 0) return argMax(scores);
  // Candidates by falling score; equal scores by id, so that a seed gives one reply on every machine.
  const kept = topK > 0 && topK < scores.length ? best(scores, topK) : Array.from(scores.keys());
  kept.sort((a, b) => scores[b]! - scores[a]! || a - b);
  const top = scores[kept[0]!]!;
  const weights = kept.map((id) => Math.exp((scores[id]! - top) / temperature));
  let total = weights.reduce((sum, weight) => sum + weight, 0);
  if (topP < 1) {
    let count = 0;
    let reached = 0;
    while (count < weights.length && reached < topP * total) reached += weights[count++]!;
    weights.length = Math.max(1, count);
    total = weights.reduce((sum, weight) => sum + weight, 0);
  }
  let left = random.next() * total;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return kept[i]!;
  }
  return kept[weights.length - 1]!;
}

function penalised(logits: Float32Array, seen: ReadonlySet<number>, penalty: number): Float32Array {
  const scores = logits.slice();
  for (const id of seen) {
    const score = scores[id]!;
    scores[id] = score > 0 ? score / penalty : score * penalty;
  }
  return scores;
}

function argMax(scores: Float32Array): number {
  let winner = 0;
  for (let id = 1; id < scores.length; id++) if (scores[id]! > scores[winner]!) winner = id;
  return winner;
}

/** Ids of the `count` highest scores, in no order: those above the count-th, then as many equal to it as fit. */
function best(scores: Float32Array, count: number): number[] {
  const threshold = scores.slice().sort()[scores.length - count]!;
  const above: number[] = [];
  const equal: number[] = [];
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id]!;
    if (score > threshold) above.push(id);
    else if (score === threshold) equal.push(id);
  }
  return [...above, ...equal.slice(0, count - above.length)];
}
