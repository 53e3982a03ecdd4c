/** The plan of a run: everything that is known before a weight is read. What `--dry-run` prints. */
import type { EncodingReport, FoldReport } from "../data/feed/index.ts";
import type { ChatModel } from "../model/index.ts";
import { type AdapterOptions, expectedWeights, parameterCount, tokenCount } from "../model/decoder/index.ts";
import type { ParameterLayout } from "../model/nn/index.ts";
import type { Stopwatch } from "../util/index.ts";
import type { AdaptedLayer, BatchSource, MemoryPrediction, TrainingBatch } from "../train/index.ts";
import { checkBase } from "./base-model.ts";
import { encodedSets } from "./encoded-sets.ts";
import {
  type Choosable,
  type MemoryChoice,
  type MemoryLimit,
  type PlannedMemory,
  chooseSettings,
  memoryLimit,
  runMemory,
  wantedSettings,
  nothingChosen,
} from "./run-memory.ts";
import type { TrainConfig } from "./schema.ts";
import { trainedParts } from "./trained-parts.ts";
import type { TrainingData } from "./training-data.ts";

export interface TrainPlan extends PlannedMemory {
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
  readonly summary: PlanSummary;
}

export interface PlanSummary {
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly maxLength: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** How many times fewer tokens are read because micro-batches share common beginnings; of the first few steps. */
  readonly sharingFactor: number;
  readonly training: SetSummary;
  readonly validation: SetSummary | undefined;
  readonly memory: MemoryPrediction;
  /** Of the same run without mixed precision, activations in float32. */
  readonly plainMemoryBytes: number;
  /** Of one checkpoint on disk. */
  readonly checkpointBytes: number;
}

export interface SetSummary {
  readonly encoding: EncodingReport;
  readonly folding: FoldReport;
}

/** What is left out of the sets, as a run's manifest and a plan for programs tell it. */
export interface Cut {
  /** Rows that lost their oldest turns to the longest length, and how many messages those were. */
  readonly rows: number;
  readonly messages: number;
  /** Replies or examples that cannot be learned. */
  readonly rejected: number;
}

export function cutOf({ training, validation }: Pick<PlanSummary, "training" | "validation">): {
  readonly training: Cut;
  readonly validation?: Cut;
} {
  const of = ({ encoding }: SetSummary): Cut => ({
    rows: encoding.shortenedRows,
    messages: encoding.droppedMessages,
    rejected: encoding.rejected.length,
  });
  return { training: of(training), ...(validation === undefined ? {} : { validation: of(validation) }) };
}

export interface PlanOptions {
  /** Settings that may be chosen so that the run fits; none when absent. */
  readonly choosable?: Choosable;
  /** Absent: what `runtime.memory` says, else what is free. */
  readonly limit?: MemoryLimit;
  /** Resident before anything of the model is loaded; absent: what this process has now. */
  readonly processBytes?: number;
  /** Told how long parts of it take. */
  readonly watch?: Stopwatch;
}

/** Renders and folds the data, lays out the parameters, counts steps and memory, and chooses what fits. */
export function planTraining(
  config: TrainConfig,
  model: ChatModel,
  data: TrainingData,
  {
    choosable = nothingChosen,
    processBytes = process.memoryUsage.rss(),
    limit = memoryLimit(config),
    watch,
  }: PlanOptions = {},
): TrainPlan {
  const { spec, renderer } = model;
  checkBase(config, spec);
  const maxLength = Math.min(config.training.maxLength ?? 1024, spec.contextLength);
  const sets = encodedSets(data, renderer, { maxLength, fold: config.training.fold });
  watch?.lap("encodeData");
  const { training: trainingSet, validation: validationSet } = sets;
  // NEFTune's noise is each sequence's own, by its length.
  const share = config.training.fold && config.training.neftune === 0;
  const parts = trainedParts(config, spec);
  const memory = runMemory({ config, model, sets, parts, share, processBytes });
  const choice = chooseSettings(memory, wantedSettings(config, choosable), choosable, limit);
  const chosen = withSettings(config, choice.settings);
  const { training, validation, chunks } = memory.batches(choice.settings);
  const { stepsPerEpoch } = training;
  const steps = plannedSteps(config, stepsPerEpoch);

  const { layers, layout, scale, adapter } = parts;
  const evaluateEvery = config.evaluation.every ?? defaultInterval(config, steps, stepsPerEpoch);
  const inBase = new Set(expectedWeights(spec).map(({ name }) => name));
  const added = layout.entries.reduce((sum, { name, size }) => sum + (inBase.has(name) ? 0 : size), 0);
  const totalParameters = parameterCount(spec) + added;
  return {
    config: chosen,
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
    memory,
    choice,
    limit,
    summary: {
      trainableParameters: layout.size,
      totalParameters,
      maxLength,
      steps,
      stepsPerEpoch,
      sharingFactor: sharingOf(training, share),
      training: { encoding: trainingSet.encoding, folding: trainingSet.folding },
      validation:
        validationSet === undefined
          ? undefined
          : { encoding: validationSet.encoding, folding: validationSet.folding },
      memory: choice.prediction,
      plainMemoryBytes: isPlain(config)
        ? choice.prediction.totalBytes
        : memory.inFloat32().predict(choice.settings).totalBytes,
      // Parameters and both moments in float32.
      checkpointBytes: 12 * layout.size,
    },
  };
}

function sharingOf(source: BatchSource, share: boolean): number {
  const batches = Array.from({ length: Math.min(8, source.stepsPerEpoch) }, (_, step) => source.batch(step));
  const read = batches.flatMap(({ microBatches }) => microBatches.map((one) => tokenCount(one, share)));
  return (
    batches.reduce((sum, { tokens }) => sum + tokens, 0) /
    Math.max(
      1,
      read.reduce((a, b) => a + b, 0),
    )
  );
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

function isPlain({ training }: TrainConfig): boolean {
  return training.precision === "float32" && training.activations === "float32";
}

function withSettings(
  config: TrainConfig,
  { microTokens, lanes, checkpointing }: MemoryChoice["settings"],
): TrainConfig {
  // A run from before there were lanes goes on without the setting.
  const chosen = lanes === 1 && config.training.lanes === undefined ? {} : { lanes };
  return { ...config, training: { ...config.training, microTokens, ...chosen, checkpointing } };
}
