/** A data set and a model → an adapter. */
export { adaptedLayers, savedWeights, targetModulesOf } from "./adapted-layers.ts";
export type { AdaptedLayer, Targets } from "./adapted-layers.ts";
export { batchSource, validationBatches } from "./batches.ts";
export type { MicroBatching } from "./batches.ts";
export type { BatchSourceOptions } from "./batches.ts";
export { checkpointPath, latestCheckpoint, pruneCheckpoints, saveCheckpoint } from "./checkpoint.ts";
export type { Checkpoint, Progress } from "./checkpoint.ts";
export { matricesAlone } from "./decay.ts";
export { chunksFor, compilePrograms, loraParameters, trainingEngine } from "./engine.ts";
export type { EngineOptions, TrainedState, TrainingEngine, UpdateOptions } from "./engine.ts";
export { withoutTimes } from "./events.ts";
export type { ProbeReply, RunEvent, StopReason } from "./events.ts";
export { scalerDefaults } from "./loss-scaler.ts";
export type { ScalerOptions, ScalerState } from "./loss-scaler.ts";
export { inEachLane } from "./in-each-lane.ts";
export { initialAdapter } from "./initialise.ts";
export { trainingLoop } from "./loop.ts";
export type { BatchSource, LoopOptions, Prediction, TrainingBatch } from "./loop.ts";
export { memoryPredictor } from "./peak-memory.ts";
export type {
  MemoryOptions,
  MemoryPrediction,
  MemoryPredictor,
  MemoryQuestion,
  RunGraphs,
} from "./peak-memory.ts";
export { halfTypes, plainNumerics } from "./precision.ts";
export type { Numerics, Precision } from "./precision.ts";
export { batchSizes } from "./step-graphs.ts";
export type { ModelForm } from "./step-graphs.ts";
export { graphCounters, secondsAt, stepTimes } from "./step-time.ts";
export type { Calibration, GraphCounters, Rates, StepTimes } from "./step-time.ts";
export { tensorboardLog } from "./tensorboard.ts";
export type { TensorboardLog, TensorboardOptions } from "./tensorboard.ts";
export { watcher } from "./watch.ts";
export type { WatchOptions } from "./watch.ts";
export { loraPlusFactors } from "./lora-plus.ts";
