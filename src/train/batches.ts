/** The batches of a run by step number: a step always means the same batch, whenever it is asked for. */
import { type FeedSequence, epochBatches, microBatches } from "../data/feed/index.ts";
import type { BatchSource, TrainingBatch } from "./loop.ts";

export interface BatchSourceOptions {
  /** Replies in a batch, or tokens. */
  readonly batch: number;
  /** Most tokens in a micro-batch. */
  readonly microTokens: number;
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
        if (index < batches.length) return trainingBatch(batches[index]!, options.microTokens);
        epoch += 1;
        firstSteps[epoch] ??= firstSteps[epoch - 1]! + batches.length;
      }
    },
  };
}

/** All sequences in batches of about `microTokens` tokens, for measuring. */
export function validationBatches(
  sequences: readonly FeedSequence[],
  microTokens: number,
): readonly TrainingBatch[] {
  return sequences.length === 0 ? [] : [trainingBatch(sequences, microTokens)];
}

function trainingBatch(sequences: readonly FeedSequence[], microTokens: number): TrainingBatch {
  let [replies, tokens, supervisedTokens, weight] = [0, 0, 0, 0];
  for (const sequence of sequences) {
    replies += sequence.replies;
    tokens += sequence.ids.length;
    for (const one of sequence.weights) {
      weight += one;
      if (one > 0) supervisedTokens += 1;
    }
  }
  return { microBatches: microBatches(sequences, microTokens), replies, tokens, supervisedTokens, weight };
}
