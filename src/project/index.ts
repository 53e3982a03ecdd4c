/** Configuration, runs on disk, the state of the machine. */
export { isSetting, leafKeys, resolveConfig } from "./resolve.ts";
export type { ConfigSources, Resolved } from "./resolve.ts";
export { isModelFolder } from "./model-folder.ts";
export { trainConfigSchema } from "./schema.ts";
export type { TrainConfig } from "./schema.ts";
export { parseYaml } from "./yaml-document.ts";
export type { PlacedDocument } from "./yaml-document.ts";
export { backwardOf, calibrateBase, calibrationRows, loadBase } from "./base-model.ts";
export { cutOf, planTraining } from "./plan.ts";
export type { Cut, PlanSummary, SetSummary, TrainPlan } from "./plan.ts";
export {
  createRun,
  isRunFolder,
  readEvents,
  readRunManifest,
  runConfigPath,
  runFolder,
} from "./run-folder.ts";
export type { RunDescription, RunFolder } from "./run-folder.ts";
export { pretrainConfigSchema, trainConfigOf } from "./pretrain-schema.ts";
export type { PretrainConfig } from "./pretrain-schema.ts";
export { makeStart } from "./pretrain-start.ts";
export type { Start, StartOptions } from "./pretrain-start.ts";
export { adapterOf, preparePretraining, prepareRun, runTraining } from "./train-run.ts";
export type { Notice, PrepareRunOptions, PreparedRun, RunOptions } from "./train-run.ts";
export { measureRunTime } from "./run-time.ts";
export type { RunTime } from "./run-time.ts";
export { readTrainingData, splitByConversation } from "./training-data.ts";
export type { DataSource, TrainingData } from "./training-data.ts";
export { microBatchText, refuseWithoutMemory } from "./run-memory.ts";
export type { MemoryChoice, MemoryLimit, MemorySettings, PlannedMemory, RunMemory } from "./run-memory.ts";
export { examine, probeProvider } from "./doctor.ts";
export type { DoctorOptions, Finding } from "./doctor.ts";
export { availableMemoryBytes, glibcVersion, processor, totalMemoryBytes } from "./machine.ts";
export type { Processor } from "./machine.ts";
export { openModelSource } from "./model-source.ts";
export type { ModelSource, ModelSourceOptions } from "./model-source.ts";
export { cacheBytes, fitPrompt, startResponder } from "./responder.ts";
export type { FittedPrompt, Responder, ResponderOptions } from "./responder.ts";
export { resumeRules, safeChanges, settingChanges } from "./resume-settings.ts";
export type { SettingChange, SettingKey } from "./resume-settings.ts";
export { numericsNote, numericsOf } from "./numerics.ts";
