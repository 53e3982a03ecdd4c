/** A whole training run: model, data, plan, run folder, loop; as a stream of events. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { onnxRuntime } from "../compute/runtime/index.ts";
import { type Tensor, float32 } from "../compute/tensor/index.ts";
import { type ChatModel, openChatModel } from "../model/index.ts";
import { loadResidentModel, quantisedModel } from "../model/decoder/index.ts";
import type { FetchOptions } from "../model/hub/index.ts";
import { parameterViews } from "../model/nn/index.ts";
import { type Adapter, type LoraPair, saveAdapter } from "../model/weights/index.ts";
import {
  type Checkpoint,
  type RunEvent,
  initialAdapter,
  latestCheckpoint,
  pruneCheckpoints,
  saveCheckpoint,
  trainingEngine,
  trainingLoop,
} from "../train/index.ts";
import { UserError } from "../util/index.ts";
import { type TrainPlan, planTraining } from "./plan.ts";
import { lockRun } from "./run-lock.ts";
import { type RunFolder, createRun, isRunFolder, runFolder } from "./run-folder.ts";
import type { TrainConfig } from "./schema.ts";
import { type TrainingData, readTrainingData } from "./training-data.ts";

export interface PreparedRun extends AsyncDisposable {
  readonly model: ChatModel;
  readonly data: TrainingData;
  readonly plan: TrainPlan;
}

export type Notice = (message: string) => void;

export interface PrepareRunOptions extends FetchOptions {
  readonly notice?: Notice;
}

/** Reads the data, opens the model (fetching it if need be) and plans; nothing is written. */
export async function prepareRun(
  config: TrainConfig,
  { notice = () => {}, ...fetching }: PrepareRunOptions = {},
): Promise<PreparedRun> {
  const data = await readTrainingData(config.data, config.seed);
  const { separator } = config.template;
  const model = await openChatModel(config.model, {
    ...fetching,
    ...(separator === undefined ? {} : { separator }),
  });
  try {
    if (model.defaultTemplate)
      notice("the model has no chat template; ChatML is used, in training and afterwards");
    if (model.renderer.vocabularyGrew)
      notice(`the separator ${separator} is a new token: it starts as the mean of all embeddings`);
    return { model, data, plan: planTraining(config, model, data), [Symbol.asyncDispose]: model.close };
  } catch (error) {
    await model.close();
    throw error;
  }
}

export interface RunOptions {
  readonly origins: ReadonlyMap<string, string>;
  /** The run's folder. */
  readonly folder: string;
  readonly resume: boolean;
  readonly signal?: AbortSignal;
  readonly notice?: Notice;
  /** Told while weights are read. */
  readonly onWeight?: (done: number, total: number) => void;
}

/**
 * Runs the plan. Every event is in the run's folder before it is yielded. A new run that fails before its first event
 * leaves no folder behind; one process at a time works in a folder.
 */
export async function* runTraining(
  prepared: PreparedRun,
  options: RunOptions,
): AsyncGenerator<RunEvent, void> {
  const { folder, checkpoint } = await openOrCreate(
    prepared,
    options,
    fingerprintOf(prepared),
    options.notice ?? (() => {}),
  );
  await using _ = await lockRun(folder.path);
  let told = options.resume;
  try {
    if (options.resume) await folder.keepEvents(checkpoint?.progress.events ?? 0);
    for await (const event of trainIn(folder, checkpoint, prepared, options)) {
      await folder.append(event);
      told = true;
      yield event;
    }
  } catch (error) {
    if (!told) await rm(folder.path, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

async function* trainIn(
  folder: RunFolder,
  checkpoint: Checkpoint | undefined,
  prepared: PreparedRun,
  options: RunOptions,
): AsyncGenerator<RunEvent, void> {
  const { model, plan } = prepared;
  const { config } = plan;
  const fingerprint = fingerprintOf(prepared);
  const { threads, provider } = config.runtime;
  await using runtime = await onnxRuntime({ provider, ...(threads === undefined ? {} : { threads }) });
  const loaded = await loadResidentModel(runtime, model.spec, model.store, options.onWeight);
  const { base } = config.training;
  const resident =
    base === "int8" ? await quantisedModel(loaded, plan.training.batch(0).microBatches[0]!) : loaded;
  const adapted = new Set(plan.layers.map(({ path }) => path));
  await using engine = await trainingEngine(resident, initialAdapter(plan.layout, config.seed), {
    layout: plan.layout,
    adapter: { rank: config.lora.rank, scale: plan.scale, adapts: (path) => adapted.has(path) },
    dropout: config.lora.dropout,
    seed: config.seed,
    optimizer: {
      beta1: config.optimizer.beta1,
      beta2: config.optimizer.beta2,
      epsilon: config.optimizer.epsilon,
    },
    ...plan.chunks,
    recompute: config.training.recompute,
    base,
  });
  yield* trainingLoop(
    {
      engine,
      training: plan.training,
      validation: plan.validation,
      steps: plan.steps,
      learningRate: config.optimizer.learningRate,
      weightDecay: config.optimizer.weightDecay,
      maxNorm: config.optimizer.clipNorm,
      schedule: { kind: config.schedule.kind, warmupSteps: plan.warmupSteps, totalSteps: plan.steps },
      evaluateEvery: plan.evaluateEvery,
      patience: config.evaluation,
      checkpointEvery: plan.checkpointEvery,
      trainableParameters: plan.summary.trainableParameters,
      totalParameters: plan.summary.totalParameters,
      saveCheckpoint: async (state, progress) => {
        const path = await saveCheckpoint(folder.checkpoints, state, progress, fingerprint);
        await pruneCheckpoints(folder.checkpoints, config.checkpoint.keep);
        return path;
      },
      saveBest: (parameters) =>
        saveAdapter(folder.adapter, adapterOf(prepared, parameters), adapterNotes(prepared)),
      peakBytes: async () => (await runtime.memory()).peakBytes,
      ...(checkpoint === undefined ? {} : { resume: checkpoint }),
    },
    options.signal,
  );
}

async function openOrCreate(
  prepared: PreparedRun,
  { folder: path, resume, origins }: RunOptions,
  fingerprint: string,
  notice: Notice,
): Promise<{ folder: RunFolder; checkpoint: Checkpoint | undefined }> {
  if (!resume) {
    const { config } = prepared.plan;
    const { opened, renderer } = prepared.model;
    const folder = await createRun(path, {
      config,
      origins,
      data: { split: prepared.data.split, sources: prepared.data.sources },
      model: {
        reference: config.model,
        name: opened.name,
        ...(opened.revision === undefined ? {} : { revision: opened.revision }),
        ...(opened.commit === undefined ? {} : { commit: opened.commit }),
        weightsFingerprint: opened.fingerprint,
        textFingerprint: renderer.fingerprint,
      },
    });
    return { folder, checkpoint: undefined };
  }
  if (!(await isRunFolder(path))) {
    throw new UserError(`${path} is not the folder of a run`, { next: "Start the run without --resume." });
  }
  const folder = runFolder(path);
  const checkpoint = await latestCheckpoint(folder.checkpoints, notice);
  if (checkpoint === undefined) notice("there is no checkpoint yet: the run starts from its beginning");
  else if (checkpoint.fingerprint !== fingerprint) {
    throw new UserError(`the run in ${path} was started with other settings, data or model`, {
      next: `Its settings are in ${path}/config.yaml: resume with those, or start a new run under another --out.`,
    });
  }
  return { folder, checkpoint };
}

/** What must be equal for a run to go on: all that decides its numbers. */
function fingerprintOf({ plan: { config }, data, model }: PreparedRun): string {
  const { out: _, runtime: __, checkpoint: ___, data: ____, ...deciding } = config;
  const identity = {
    config: deciding,
    data: data.sources.map(({ sha256 }) => sha256),
    weights: model.opened.fingerprint,
    text: model.renderer.fingerprint,
  };
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}

/** The flat vector as the adapter that PEFT reads. */
export function adapterOf({ plan, model }: PreparedRun, parameters: Float32Array): Adapter {
  const views = parameterViews(plan.layout, parameters);
  const shapes = new Map(plan.layout.entries.map(({ name, shape }) => [name, shape]));
  const tensorOf = (name: string): Tensor<"float32"> => float32(shapes.get(name)!, views.get(name)!);
  const { lora } = plan.config;
  return {
    config: {
      rank: lora.rank,
      alpha: lora.alpha,
      dropout: lora.dropout,
      rsLora: lora.rsLora,
      targetModules: [...new Set(plan.layers.map(({ path }) => path.split(".").at(-1)!))],
      baseModel: model.opened.name,
      ...(model.opened.revision === undefined ? {} : { baseRevision: model.opened.revision }),
    },
    layers: new Map(
      plan.layers.map(({ path }): [string, LoraPair] => [
        path,
        { a: tensorOf(`${path}.lora_A.weight`), b: tensorOf(`${path}.lora_B.weight`), scale: plan.scale },
      ]),
    ),
  };
}

/** What serving must agree on with training travels with the adapter. */
function adapterNotes({ plan, model }: PreparedRun): Record<string, string> {
  const { separator } = plan.config.template;
  return {
    "attune.json": `${JSON.stringify(
      {
        schemaVersion: 1,
        ...(separator === undefined ? {} : { separator }),
        textFingerprint: model.renderer.fingerprint,
        weightsFingerprint: model.opened.fingerprint,
        stopIds: model.renderer.stopIds,
      },
      null,
      2,
    )}\n`,
  };
}
