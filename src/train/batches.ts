/** The batches of a run by step number: a step always means the same batch, whenever it is asked for. */
import { type FeedSequence, epochBatches } from "../data/feed/index.ts";
import { microBatches } from "../model/decoder/index.ts";
import type { BatchSource, TrainingBatch } from "./loop.ts";

export interface MicroBatching {
  /** Most tokens that a micro-batch reads. */
  readonly tokens: number;
  /** Whether its sequences share the tokens of a common beginning. */
  readonly share: boolean;
  /** Micro-batches computed at once, which have so many tokens together; absent: 1. */
  readonly lanes?: number;
}

export interface BatchSourceOptions {
  /** Replies in a batch, or tokens. */
  readonly batch: number;
  /** What `batch` counts; absent: replies. */
  readonly unit?: "replies" | "tokens";
  readonly micro: MicroBatching;
  readonly seed: number;
}

/** Batches over epochs without end, each epoch in an order of its own. */
export function batchSource(sequences: readonly FeedSequence[], options: BatchSourceOptions): BatchSource {
  /** First step of each epoch computed so far, and the last epoch's batches: steps are asked for in order. */
  const firstSteps = [0];
  let current = { epoch: 0, batches: epochBatches(sequences, 0, options) };
  const stepsPerEpoch = current.batches.length;
  const epochOf = (epoch: number): (typeof current)["batches"] => {
    if (current.epoch !== epoch) current = { epoch, batches: epochBatches(sequences, epoch, options) };
    return current.batches;
  };
  return {
    stepsPerEpoch,
    batch: (step) => {
      let epoch = firstSteps.findLastIndex((first) => first <= step);
      for (;;) {
        const batches = epochOf(epoch);
        const index = step - firstSteps[epoch]!;
        if (index < batches.length) return trainingBatch(batches[index]!, options.micro);
        epoch += 1;
        firstSteps[epoch] ??= firstSteps[epoch - 1]! + batches.length;
      }
    },
  };
}

/** All sequences as one batch, for measuring. */
export function validationBatches(
  sequences: readonly FeedSequence[],
  micro: MicroBatching,
): readonly TrainingBatch[] {
  return sequences.length === 0 ? [] : [trainingBatch(sequences, micro)];
}

function trainingBatch(sequences: readonly FeedSequence[], micro: MicroBatching): TrainingBatch {
  let [replies, tokens, supervisedTokens, weight] = [0, 0, 0, 0];
  for (const sequence of sequences) {
    replies += sequence.replies;
    tokens += sequence.ids.length;
    for (const one of sequence.weights) {
      weight += one;
      if (one > 0) supervisedTokens += 1;
    }
  }
  return {
    microBatches: microBatches(sequences, micro.tokens, micro),
    replies,
    tokens,
    supervisedTokens,
    weight,
  };
}
