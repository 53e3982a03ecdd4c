/** A data set and a model → an adapter. */
export { adaptedLayers } from "./adapted-layers.ts";
export type { AdaptedLayer } from "./adapted-layers.ts";
export { batchSource, validationBatches } from "./batches.ts";
export type { BatchSourceOptions } from "./batches.ts";
export { latestCheckpoint, pruneCheckpoints, saveCheckpoint } from "./checkpoint.ts";
export type { Checkpoint, Progress } from "./checkpoint.ts";
export { chunksFor, loraParameters, trainingEngine } from "./engine.ts";
export type { EngineOptions, TrainedState, TrainingEngine, UpdateOptions } from "./engine.ts";
export { withoutTimes } from "./events.ts";
export type { RunEvent, StopReason } from "./events.ts";
export { initialAdapter } from "./initialise.ts";
export { trainingLoop } from "./loop.ts";
export type { BatchSource, LoopOptions, TrainingBatch } from "./loop.ts";
export { estimateMemory } from "./memory.ts";
export type { MemoryEstimate, MemoryOptions } from "./memory.ts";
