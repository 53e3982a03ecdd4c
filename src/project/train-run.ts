/** A whole training run: model, data, plan, run folder, loop; as a stream of events. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { onnxRuntime } from "../compute/runtime/index.ts";
import { type ChatModel, openChatModel } from "../model/index.ts";
import { type ResidentModel, residentModel } from "../model/decoder/index.ts";
import type { FetchOptions } from "../model/hub/index.ts";
import { textSample } from "../model/text/index.ts";
import { type Adapter, type TokenRows, saveAdapter } from "../model/weights/index.ts";
import {
  type Checkpoint,
  type RunEvent,
  scalerDefaults,
  type TensorboardLog,
  checkpointPath,
  compilePrograms,
  pruneCheckpoints,
  saveCheckpoint,
  tensorboardLog,
  trainingEngine,
  trainingLoop,
} from "../train/index.ts";
import { type Stopwatch, UserError, errorCode, stopwatch } from "../util/index.ts";
import { baseForm, calibrateBase, calibrationRows, loadBase } from "./base-model.ts";
import { engineOptions } from "./engine-options.ts";
import { saveModelFolder } from "./model-folder.ts";
import { availableMemoryBytes } from "./machine.ts";
import { type TrainPlan, cutOf, planTraining } from "./plan.ts";
import { startFolder } from "./pretrain-schema.ts";
import { type Start, openStart, readStart, writeStart } from "./pretrain-start.ts";
import { type Probe, probePrompts, replyProbe } from "./probe.ts";
import { canGenerate, halvesOf } from "./numerics.ts";
import { leafKeys } from "./resolve.ts";
import { fixedSettings } from "./resume-settings.ts";
import { existingRun, resumeRun } from "./resume.ts";
import { lockRun } from "./run-lock.ts";
import { choosableBy, nothingChosen, withChosen } from "./run-memory.ts";
import { type RunFolder, createRun, readEvents } from "./run-folder.ts";
import { predictRunTime } from "./run-time.ts";
import type { TrainConfig } from "./schema.ts";
import { addedRows, firstValues, trainedAdapter } from "./trained-parts.ts";
import { type TrainingData, readTrainingData } from "./training-data.ts";

export interface PreparedRun extends AsyncDisposable {
  readonly model: ChatModel;
  readonly data: TrainingData;
  readonly plan: TrainPlan;
  /** Runs since the data began to be read. */
  readonly watch: Stopwatch;
  /** Writes what a new run's folder holds from its beginning. */
  readonly beside?: (folder: string) => Promise<void>;
}

export type Notice = (message: string) => void;

export interface PrepareRunOptions extends FetchOptions {
  readonly notice?: Notice;
  /** Where each setting came from: what nobody set is chosen so that the run fits into memory. Absent: nothing is. */
  readonly origins?: ReadonlyMap<string, string>;
  /** The folder of the run that goes on: it keeps what was chosen for it. */
  readonly resumed?: string;
}

/** Reads the data, opens the model (fetching it if need be) and plans; nothing is written. */
export async function prepareRun(
  given: TrainConfig,
  { notice = () => {}, origins, resumed, ...fetching }: PrepareRunOptions = {},
): Promise<PreparedRun> {
  const config = resumed === undefined ? given : await withChosen(given, resumed, origins);
  const choosable = resumed === undefined ? choosableBy(origins) : nothingChosen;
  if (config.method === "pretrain") return preparePretraining(config, await readStart(config.model));
  const watch = stopwatch();
  const data = await readTrainingData(config.data, config.seed);
  watch.lap("readData");
  const { separator, keepFirstTurns } = config.template;
  const { slidingWindow } = config.training;
  const model = await openChatModel(config.model, {
    ...fetching,
    ...(separator === undefined ? {} : { separator }),
    keepFirstTurns,
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
  });
  try {
    if (model.defaultTemplate)
      notice("the model has no chat template; ChatML is used, in training and afterwards");
    if (model.renderer.vocabularyGrew)
      notice(`the separator ${separator} is a new token: it starts as the mean of all embeddings`);
    watch.lap("openModel");
    const plan = planTraining(config, model, data, { choosable, watch });
    watch.lap("plan");
    return { model, data, plan, watch, [Symbol.asyncDispose]: model.close };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** A run from scratch: from a start that is already in its folder, or a new one that is written there. */
export function preparePretraining(
  config: TrainConfig,
  start: Start,
  { isNew = false, origins }: { readonly isNew?: boolean } & Pick<PrepareRunOptions, "origins"> = {},
): PreparedRun {
  const watch = stopwatch();
  const { model, data } = openStart(start, config.model);
  watch.lap("openModel");
  const plan = planTraining(config, model, data, {
    choosable: choosableBy(origins),
    watch,
  });
  watch.lap("plan");
  return {
    model,
    data,
    plan,
    watch,
    ...(isNew ? { beside: (folder: string) => writeStart(join(folder, startFolder), start) } : {}),
    [Symbol.asyncDispose]: model.close,
  };
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
  const folder = options.resume ? await existingRun(options.folder) : await newRun(prepared, options);
  await using _ = await lockRun(folder.path).catch(async (error: unknown) => {
    // A new run that cannot even be locked, as on a full disk, would stand in the way of the next attempt.
    if (!options.resume && errorCode(error instanceof UserError ? error.cause : error) !== undefined)
      await rm(folder.path, { recursive: true, force: true }).catch(() => {});
    throw error;
  });
  let told = options.resume;
  let board: TensorboardLog | undefined;
  try {
    const checkpoint = options.resume
      ? await resumeRun(folder, prepared, {
          origins: options.origins,
          fingerprint: fingerprintOf(prepared),
          notice: options.notice ?? (() => {}),
        })
      : undefined;
    for await (const event of trainIn(folder, checkpoint, prepared, options)) {
      await folder.append(event);
      told = true;
      board ??= await tensorboardLog(folder.tensorboard, {
        hyperParameters: hyperParameters(prepared.plan.config),
        ...(options.resume ? { resumedAt: checkpoint?.progress.step ?? -1 } : {}),
      });
      await board.add(event);
      yield event;
    }
  } catch (error) {
    if (!told) await rm(folder.path, { recursive: true, force: true }).catch(() => {});
    throw error;
  } finally {
    await board?.[Symbol.asyncDispose]();
  }
}

async function* trainIn(
  folder: RunFolder,
  checkpoint: Checkpoint | undefined,
  prepared: PreparedRun,
  options: RunOptions,
): AsyncGenerator<RunEvent, void> {
  const { model, plan, watch } = prepared;
  const { config } = plan;
  const fingerprint = fingerprintOf(prepared);
  const { threads, provider } = config.runtime;
  await using runtime = await onnxRuntime({ provider, ...(threads === undefined ? {} : { threads }) });
  watch.lap("startRuntime");
  const calibration = () => calibrationRows(plan.training.batch(0).microBatches.flat());
  const calibrated = await calibrateBase(runtime, model, config.training, calibration, options.onWeight);
  watch.lap("calibrate");
  const engineSettings = {
    ...engineOptions(config, plan, plan.share),
    ...plan.chunks,
    recompute: config.training.checkpointing,
  };
  // Sessions are made in the runtime's thread while this one reads weights; LLM.int8()'s graph depends on the weights.
  const programs =
    config.training.base === "llm-int8"
      ? undefined
      : compilePrograms(
          runtime,
          baseForm(model, config).model,
          engineSettings,
          plan.memory.graphs(plan.choice.settings),
        );
  const time = options.resume ? undefined : await predictRunTime({ plan, model, runtime, measure: false });
  const whole = plan.adapter === undefined;
  // A base that is trained itself is in the parameters.
  const resident = whole
    ? residentModel(runtime, model.spec, new Map())
    : await loadBase(runtime, model, config.training, {
        calibrated,
        onWeight: options.onWeight,
        halves: halvesOf(config),
      });
  const initial = await firstValues(config, plan, model, whole ? options.onWeight : undefined);
  const added = await addedRows(model, plan);
  const trained = (parameters: Float32Array): Adapter => adapterOf(prepared, parameters, added);
  await using engine = await trainingEngine(resident, initial, engineSettings, programs);
  watch.lap("readWeights");
  await using probe = probeOf(prepared, resident, options.notice ?? (() => {}));
  const history = checkpoint === undefined ? [] : await readEvents(folder.path);
  yield* trainingLoop(
    {
      engine,
      training: plan.training,
      validation: plan.validation,
      steps: plan.steps,
      learningRate: config.optimizer.learningRate,
      weightDecay: config.optimizer.weightDecay,
      maxNorm: config.optimizer.clipNorm,
      schedule: {
        kind: config.schedule.kind,
        warmupSteps: plan.warmupSteps,
        totalSteps: plan.steps,
        decaySteps: Math.round(config.schedule.decayShare * plan.steps),
      },
      ...(config.training.precision === "fp16" ? { lossScaling: scalerDefaults } : {}),
      evaluateEvery: plan.evaluateEvery,
      patience: config.evaluation,
      checkpointEvery: plan.checkpointEvery,
      trainableParameters: plan.summary.trainableParameters,
      totalParameters: plan.summary.totalParameters,
      saveCheckpoint: async (state, progress) => {
        const write = async (): Promise<void> => {
          // The events that a checkpoint counts are on the disk before it is.
          await folder.sync();
          await saveCheckpoint(folder.checkpoints, state, progress, fingerprint);
          await pruneCheckpoints(folder.checkpoints, config.checkpoint.keep, progress.best?.step);
        };
        const written = write();
        // Steps beside a copy of the state take its memory more.
        if (availableMemoryBytes() < plan.summary.checkpointBytes) await written;
        return { path: checkpointPath(folder.checkpoints, progress.step), written };
      },
      saveBest: (parameters) =>
        whole
          ? saveModelFolder(
              folder.model,
              model,
              trained(parameters),
              config.training.saveAs,
              adapterNotes(prepared),
            )
          : saveAdapter(folder.adapter, trained(parameters), adapterNotes(prepared)),
      peakBytes: async () => (await runtime.memory()).peakBytes,
      prediction: {
        peakBytes: plan.summary.memory.totalBytes,
        ...(time === undefined ? {} : { stepSeconds: time.stepSeconds, totalSeconds: time.totalSeconds }),
      },
      layout: plan.layout,
      startSeconds: watch.laps(),
      ...(probe === undefined
        ? {}
        : {
            probe: async (signal) => probe.replies(trained(await engine.trained()), signal),
          }),
      ...(checkpoint === undefined ? {} : { resume: { ...checkpoint, history } }),
    },
    options.signal,
  );
}

function newRun(
  { plan: { config, choice, summary }, data, model, beside }: PreparedRun,
  { folder, origins }: RunOptions,
): Promise<RunFolder> {
  const { opened, renderer } = model;
  return createRun(folder, {
    config,
    origins: new Map([...origins, ...choice.origins]),
    ...(beside === undefined ? {} : { beside }),
    data: {
      split: data.split,
      sources: data.sources,
      // Documents of a corpus lose nothing: they are read in pieces.
      ...(data.corpus === undefined ? { cut: cutOf(summary) } : {}),
    },
    model: {
      reference: config.model,
      name: opened.name,
      ...(opened.revision === undefined ? {} : { revision: opened.revision }),
      ...(opened.commit === undefined ? {} : { commit: opened.commit }),
      weightsFingerprint: opened.fingerprint,
      textFingerprint: renderer.fingerprint,
      textSample: textSample(renderer),
    },
  });
}

function hyperParameters(config: TrainConfig): ReadonlyMap<string, unknown> {
  const valueAt = (key: string): unknown =>
    key.split(".").reduce<unknown>((value, part) => (value as Record<string, unknown>)[part], config);
  return new Map(leafKeys(config).map((key) => [key, valueAt(key)]));
}

/** Sample replies at evaluations, where they are asked for and the base is such that it can generate. */
function probeOf(
  { plan, model, data }: PreparedRun,
  resident: ResidentModel,
  notice: Notice,
): Probe | undefined {
  const { config } = plan;
  if (config.evaluation.probes === 0 || data.validation.length === 0) return undefined;
  if (!canGenerate(config)) {
    const what =
      config.training.base === "float32"
        ? "weights in float16 train, but do"
        : "a base in fewer bits trains, but does";
    notice(`no sample replies are shown while it trains: ${what} not generate`);
    return undefined;
  }
  const prompts = probePrompts(data.validation, model.renderer, {
    count: config.evaluation.probes,
    seed: config.seed,
    limit: plan.summary.maxLength,
  });
  return prompts.length === 0 ? undefined : replyProbe(resident, model.renderer, prompts);
}

/** What must be equal for a run to go on: all that decides its numbers and never may change. */
function fingerprintOf({ plan: { config }, data, model }: PreparedRun): string {
  const identity = {
    settings: fixedSettings(config),
    data: data.sources.map(({ sha256 }) => sha256),
    weights: model.opened.fingerprint,
    text: model.renderer.fingerprint,
  };
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}

/** The flat vector as the adapter that PEFT reads; `added`: rows of a new separator. */
export function adapterOf(
  { plan, model }: PreparedRun,
  parameters: Float32Array,
  added?: ReadonlyMap<string, TokenRows>,
): Adapter {
  return trainedAdapter(plan.config, plan, model, parameters, added);
}

/** What serving must agree on with training travels with the adapter. */
function adapterNotes({ plan, model }: PreparedRun): Record<string, string> {
  const { separator, keepFirstTurns } = plan.config.template;
  const { slidingWindow } = plan.config.training;
  return {
    "attune.json": `${JSON.stringify(
      {
        schemaVersion: 1,
        ...(separator === undefined ? {} : { separator }),
        ...(keepFirstTurns === 0 ? {} : { keepFirstTurns }),
        ...(slidingWindow === undefined ? {} : { slidingWindow }),
        textFingerprint: model.renderer.fingerprint,
        weightsFingerprint: model.opened.fingerprint,
        stopIds: model.renderer.stopIds,
      },
      null,
      2,
    )}\n`,
  };
}
