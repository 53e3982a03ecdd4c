/** The plan of a run: everything that is known before a weight is read. What `--dry-run` prints. */
import type { EncodingReport, FoldReport, FeedSequence } from "../data/feed/index.ts";
import type { ChatModel } from "../model/index.ts";
import { type AdapterOptions, expectedWeights, parameterCount } from "../model/decoder/index.ts";
import type { ParameterLayout } from "../model/nn/index.ts";
import {
  type AdaptedLayer,
  type BatchSource,
  type MemoryEstimate,
  type MemoryOptions,
  type TrainingBatch,
  batchSource,
  chunksFor,
  estimateMemory,
  validationBatches,
} from "../train/index.ts";
import { baseBytes, checkBase } from "./base-model.ts";
import { encodedSets } from "./encoded-sets.ts";
import { halvesOf } from "./numerics.ts";
import type { TrainConfig } from "./schema.ts";
import { trainedParts } from "./trained-parts.ts";
import type { TrainingData } from "./training-data.ts";

export interface TrainPlan {
  readonly config: TrainConfig;
  readonly layers: readonly AdaptedLayer[];
  readonly layout: ParameterLayout;
  /** s in y = Wx + s · B(Ax). */
  readonly scale: number;
  /** Absent where every weight is trained. */
  readonly adapter?: AdapterOptions;
  readonly training: BatchSource;
  readonly validation: readonly TrainingBatch[];
  readonly steps: number;
  /** Whether the sequences of a micro-batch share the tokens of a common beginning. */
  readonly share: boolean;
  readonly warmupSteps: number;
  readonly evaluateEvery: number;
  readonly checkpointEvery: number;
  readonly chunks: { readonly queryChunks: number; readonly lossChunks: number };
  /** What the memory estimate was made of, and the tokens of the whole training set. */
  readonly sizes: MemoryOptions & { readonly allTokens: number };
  readonly summary: PlanSummary;
}

export interface PlanSummary {
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly maxLength: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  readonly training: SetSummary;
  readonly validation: SetSummary | undefined;
  readonly memory: MemoryEstimate;
  /** Of the same run without mixed precision, activations in float32. */
  readonly plainMemoryBytes: number;
  /** Of one checkpoint on disk. */
  readonly checkpointBytes: number;
}

export interface SetSummary {
  readonly encoding: EncodingReport;
  readonly folding: FoldReport;
}

/** Renders and folds the data, lays out the parameters, counts steps and memory. */
export function planTraining(config: TrainConfig, model: ChatModel, data: TrainingData): TrainPlan {
  const { spec, renderer } = model;
  checkBase(config, spec);
  const halves = halvesOf(config);
  const maxLength = Math.min(config.training.maxLength ?? 1024, spec.contextLength);
  const sets = encodedSets(data, renderer, { maxLength, fold: config.training.fold });
  const { training: trainingSet, validation: validationSet } = sets;
  const { batch, batchTokens, microTokens } = config.training;
  // NEFTune's noise is each sequence's own, by its length.
  const share = config.training.fold && config.training.neftune === 0;
  const micro = { tokens: microTokens, share };
  const training = batchSource(trainingSet.sequences, {
    ...(batchTokens === undefined ? { batch } : { batch: batchTokens, unit: "tokens" }),
    micro,
    seed: config.seed,
  });
  const validation = validationBatches(validationSet?.sequences ?? [], micro);
  const { stepsPerEpoch } = training;
  const steps = plannedSteps(config, stepsPerEpoch);

  const parts = trainedParts(config, spec);
  const { layers, layout, scale, adapter } = parts;
  const longest = longestOf([...trainingSet.sequences, ...(validationSet?.sequences ?? [])]);
  const supervised = mostSupervised(trainingSet.sequences, microTokens);
  const chunks = chunksFor(longest, supervised);
  const evaluateEvery = config.evaluation.every ?? defaultInterval(config, steps, stepsPerEpoch);
  const inBase = new Set(expectedWeights(spec).map(({ name }) => name));
  const added = layout.entries.reduce((sum, { name, size }) => sum + (inBase.has(name) ? 0 : size), 0);
  const totalParameters = parameterCount(spec) + added;
  const allTokens = sumOf(trainingSet.sequences);
  const sizes = {
    trainable: layout.size,
    tokens: Math.min(Math.max(microTokens, longest), allTokens),
    longest,
    lossChunks: chunks.lossChunks,
    recompute: config.training.checkpointing,
    activations: config.training.activations,
    ...baseBytes(model, config.training, halves),
    allTokens,
  };
  return {
    config,
    layers,
    layout,
    scale,
    ...(adapter === undefined ? {} : { adapter }),
    training,
    validation,
    share,
    steps,
    warmupSteps: plannedWarmup(config, stepsPerEpoch),
    evaluateEvery,
    checkpointEvery: config.checkpoint.every ?? evaluateEvery,
    chunks,
    sizes,
    summary: {
      trainableParameters: layout.size,
      totalParameters,
      maxLength,
      steps,
      stepsPerEpoch,
      training: { encoding: trainingSet.encoding, folding: trainingSet.folding },
      validation:
        validationSet === undefined
          ? undefined
          : { encoding: validationSet.encoding, folding: validationSet.folding },
      memory: estimateMemory(spec, sizes),
      plainMemoryBytes: estimateMemory(spec, {
        ...sizes,
        activations: "float32",
        ...(halves === undefined ? {} : { weightBytes: 4 * parameterCount(spec) }),
      }).totalBytes,
      // Parameters and both moments in float32.
      checkpointBytes: 12 * layout.size,
    },
  };
}

/** Optimiser steps of a whole run. */
export function plannedSteps({ training }: TrainConfig, stepsPerEpoch: number): number {
  return training.steps ?? Math.max(1, Math.round(training.epochs * stepsPerEpoch));
}

/** Steps over which the learning rate rises. */
export function plannedWarmup(config: TrainConfig, stepsPerEpoch: number): number {
  const { warmupSteps, warmupShare } = config.schedule;
  return warmupSteps ?? Math.round(warmupShare * plannedSteps(config, stepsPerEpoch));
}

/** Steps between evaluations: half an epoch; in pre-training, of which few epochs are seen, a twentieth of the run. */
function defaultInterval({ method }: TrainConfig, steps: number, stepsPerEpoch: number): number {
  return method === "pretrain"
    ? Math.min(500, Math.ceil(steps / 20))
    : Math.max(1, Math.ceil(stepsPerEpoch / 2));
}

function longestOf(sequences: readonly FeedSequence[]): number {
  return sequences.reduce((most, { ids }) => Math.max(most, ids.length), 0);
}

function sumOf(sequences: readonly FeedSequence[]): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** A bound on the targets of a micro-batch: the densest sequence's share of its tokens, over a full micro-batch. */
function mostSupervised(sequences: readonly FeedSequence[], microTokens: number): number {
  let most = 0;
  let density = 0;
  for (const { weights } of sequences) {
    const targets = weights.reduce((count, weight) => count + (weight > 0 ? 1 : 0), 0);
    most = Math.max(most, targets);
    density = Math.max(density, targets / weights.length);
  }
  return Math.max(most, Math.ceil(density * microTokens));
}
