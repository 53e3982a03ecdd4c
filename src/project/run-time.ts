/** How long a run will take: what its graphs have to do, at the speeds of this machine. */
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import type { ChatModel } from "../model/index.ts";
import { type Sequence, inLanes } from "../model/decoder/index.ts";
import {
  type Calibration,
  type GraphCounters,
  type TrainingBatch,
  batchSizes,
  graphCounters,
  stepTimes,
} from "../train/index.ts";
import { cachedCalibration, calibrationFile, calibrationKey, keepCalibration } from "./calibration-cache.ts";
import { calibrate } from "./calibration.ts";
import type { TrainPlan } from "./plan.ts";

export interface RunTime {
  /** Mean of the run's steps. */
  readonly stepSeconds: number;
  /** Of one pass over the validation set; 0 where nothing is held out. Sample replies come on top. */
  readonly evaluationSeconds: number;
  /** Of all steps and evaluations, if patience lasts. */
  readonly totalSeconds: number;
  /** Operations of the matrix products of a mean step. */
  readonly stepOperations: number;
  /** Bytes that its nodes read and write. */
  readonly stepBytes: number;
  readonly rates: Calibration["rates"];
}

export interface RunTimeOptions {
  readonly plan: TrainPlan;
  readonly model: Pick<ChatModel, "spec" | "store">;
  /** As training uses it. */
  readonly runtime: Runtime;
  /** Measures the machine anew, for a second or two; else what was measured before serves, where there is such. */
  readonly measure: boolean;
  /** Where calibrations are kept; absent: in the user's cache folder. */
  readonly file?: string;
}

/** Steps whose tokens are counted; those whose micro-batches are laid out; micro-batches of an evaluation. */
const stepsCounted = 200;
const stepsLaidOut = 12;
const mostMeasured = 24;

/** `undefined` where the machine was not measured for such a run. */
export async function predictRunTime(options: RunTimeOptions): Promise<RunTime | undefined> {
  const { plan, model, runtime, measure, file = calibrationFile() } = options;
  const { spec, store } = model;
  const key = calibrationKey(runtime, plan, spec);
  const known = measure ? undefined : await cachedCalibration(key, file);
  if (known === undefined && !measure) return undefined;
  const counters = graphCounters(plan.memory.graphs(plan.choice.settings));
  if (known !== undefined) {
    const time = runTime(plan, model, counters, known);
    // A file that others wrote may lack a speed, or hold one that is none.
    return Number.isFinite(time.totalSeconds) ? time : undefined;
  }
  const microBatches = spread(batchesOf(plan), stepsLaidOut).flatMap((batch) => batch.microBatches);
  const calibration = await calibrate(runtime, { plan, spec, store, counters, microBatches });
  await keepCalibration(key, calibration, file);
  return runTime(plan, model, counters, calibration);
}

/** Measured now, with a runtime of its own. */
export async function measureRunTime({
  plan,
  model,
}: Pick<RunTimeOptions, "plan" | "model">): Promise<RunTime> {
  const { threads, provider } = plan.config.runtime;
  await using runtime = await onnxRuntime({ provider, ...(threads === undefined ? {} : { threads }) });
  return (await predictRunTime({ plan, model, runtime, measure: true }))!;
}

/** The mean over some steps, by their tokens; an evaluation likewise. */
function runTime(
  plan: TrainPlan,
  { spec }: Pick<ChatModel, "spec">,
  counters: GraphCounters,
  calibration: Calibration,
): RunTime {
  const { steps, validation, chunks, share } = plan;
  const graphs = plan.memory.graphs(plan.choice.settings);
  const layout = { ...chunks, share };
  const times = stepTimes(counters, calibration);
  const batches = batchesOf(plan);
  const sampled = spread(batches, stepsLaidOut);
  const lanes = plan.choice.settings.lanes;
  const stepsOfPasses = sampled.map(({ microBatches }) => {
    const passes = microBatches.map((sequences) => {
      const sizes = batchSizes(graphs.step, spec, layout, sequences);
      return { seconds: times.pass(sizes), work: counters.step(sizes) };
    });
    // Each pass was measured with as many beside it; a step is over when the last lane is.
    const ofLanes = inLanes(microBatches, lanes).map((lane) =>
      sum(lane.map((index) => passes[index]!.seconds)),
    );
    return { seconds: Math.max(...ofLanes), passes };
  });
  const passes = stepsOfPasses.flatMap((step) => step.passes);
  // Steps are of different lengths: those that were laid out tell the time of a token.
  const scale = mean(batches.map(({ tokens }) => tokens)) / sum(sampled.map(({ tokens }) => tokens));
  const stepSeconds = sum(stepsOfPasses.map(({ seconds }) => seconds)) * scale + times.updateSeconds;

  const measured = validation.flatMap(({ microBatches }) => microBatches);
  const some = spread(measured, mostMeasured);
  const tokens = (all: readonly (readonly Sequence[])[]): number =>
    sum(all.flat().map(({ ids }) => ids.length));
  const evaluationSeconds =
    some.length === 0
      ? 0
      : (sum(some.map((one) => times.measuring(batchSizes(graphs.measuring(), spec, layout, one)))) *
          tokens(measured)) /
        tokens(some) /
        lanes;
  return {
    stepSeconds,
    evaluationSeconds,
    totalSeconds: steps * stepSeconds + evaluationsOf(plan) * evaluationSeconds,
    stepOperations: scale * sum(passes.flatMap(({ work }) => Object.values(work.operations))),
    stepBytes: scale * sum(passes.map(({ work }) => work.bytes)),
    rates: calibration.rates,
  };
}

function batchesOf({ training, steps }: TrainPlan): readonly TrainingBatch[] {
  const count = Math.min(steps, training.stepsPerEpoch, stepsCounted);
  return Array.from({ length: count }, (_, step) => training.batch(step));
}

/** Before the first step, after every so many and after the last. */
function evaluationsOf({ validation, steps, evaluateEvery }: TrainPlan): number {
  return validation.length === 0 ? 0 : 1 + Math.ceil(steps / evaluateEvery);
}

/** At most `count` of them, evenly spread. */
function spread<T>(all: readonly T[], count: number): readonly T[] {
  if (all.length <= count) return all;
  return Array.from({ length: count }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / count)]!);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
