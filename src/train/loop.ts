/** The training loop: steps, evaluations, checkpoints and early stopping, told as events. */
import type { Sequence } from "../model/decoder/index.ts";
import { type Schedule, scheduleFactor } from "../compute/optim/index.ts";
import type { ParameterLayout } from "../model/nn/index.ts";
import { CancelledError, type Laps, UserError } from "../util/index.ts";
import type { Progress } from "./checkpoint.ts";
import { type ScalerOptions, firstScale, nextScale } from "./loss-scaler.ts";
import { type BestSoFar, type Patience, judge } from "./early-stopping.ts";
import type { TrainedState, TrainingEngine } from "./engine.ts";
import type { ProbeReply, RunEvent, StopReason } from "./events.ts";
import { inEachLane } from "./in-each-lane.ts";
import { layerNorms } from "./gradient-norms.ts";
import { type MeasuredGradients, noNoiseYet, noiseScale, withGradients } from "./noise-scale.ts";
import { pendingWrite } from "./pending-write.ts";
import { watcher } from "./watch.ts";

/** What one optimiser step trains on. */
export interface TrainingBatch {
  readonly microBatches: readonly (readonly Sequence[])[];
  readonly replies: number;
  readonly tokens: number;
  readonly supervisedTokens: number;
  /** Σ of the weights of the supervised tokens: the loss is divided by it. */
  readonly weight: number;
}

/** Batches by number, so that a resumed run asks for the same ones. */
export interface BatchSource {
  readonly stepsPerEpoch: number;
  /** The batch of `step`, from 0, in whatever epoch that lies. */
  batch(step: number): TrainingBatch;
}

export type Prediction = Omit<Extract<RunEvent, { type: "prediction" }>, "type">;

export interface LoopOptions {
  readonly engine: TrainingEngine;
  readonly training: BatchSource;
  readonly validation: readonly TrainingBatch[];
  readonly steps: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly maxNorm: number;
  readonly schedule: Schedule;
  /** Dynamic loss scaling, for float16 products; a step whose gradient overflows is skipped. */
  readonly lossScaling?: ScalerOptions;
  /** Steps between evaluations. */
  readonly evaluateEvery: number;
  readonly patience: Patience;
  /** Steps between checkpoints. */
  readonly checkpointEvery: number;
  readonly trainableParameters: number;
  readonly totalParameters: number;
  /**
   * Makes a copy of the state durable; called between steps. Steps go on while `written` is pending; the next checkpoint
   * and the end of the run wait for it, and its failure ends the run.
   */
  readonly saveCheckpoint: (
    state: TrainedState,
    progress: Progress,
  ) => Promise<{ readonly path: string; readonly written: Promise<unknown> }>;
  /** Keeps the parameters of the best evaluation so far. */
  readonly saveBest: (parameters: Float32Array) => Promise<void>;
  readonly peakBytes: () => Promise<number>;
  /** Told when the run starts, and again beside what came true; a resumed run reads it in its history. */
  readonly prediction?: Prediction;
  /** What the start took, told when the run starts. */
  readonly startSeconds?: Laps;
  /** Where each parameter stands in the gradient; with it, gradient norms by layer are told before each evaluation. */
  readonly layout?: ParameterLayout;
  /** Replies of the model as it is to a few held-out customers, told after each evaluation. */
  readonly probe?: (signal?: AbortSignal) => Promise<readonly ProbeReply[]>;
  /** Where to go on; absent starts anew. */
  readonly resume?: {
    readonly state: TrainedState;
    readonly progress: Progress;
    readonly path: string;
    /** The events told so far: warnings are judged against them. */
    readonly history?: readonly RunEvent[];
  };
}

/**
 * Trains until `steps` are done, patience runs out or `signal` aborts; in the last case a checkpoint is saved
 * first. Everything that decides the future is in the checkpoint: a resumed run yields the same events.
 */
export async function* trainingLoop(
  options: LoopOptions,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const { engine, training, validation } = options;
  const began = performance.now();
  const since = (from: number): number => (performance.now() - from) / 1000;
  const { lossScaling } = options;
  let scaler = options.resume?.progress.scaler ?? (lossScaling && firstScale(lossScaling));
  let { step, draws, before, best, evaluatedAt, events } = options.resume?.progress ?? {
    step: 0,
    draws: 0,
    before: undefined as number | undefined,
    best: undefined as BestSoFar | undefined,
    evaluatedAt: -1,
    events: 0,
  };
  if (options.resume !== undefined) await engine.restore(options.resume.state);
  let noise = options.resume?.progress.noise ?? noNoiseYet;
  const past = pastOf(options.resume?.history ?? []);
  let { computedTokens, stepSeconds, stepsTimed } = past;
  let savedAt = options.resume === undefined ? -1 : step;
  let savedPath = options.resume?.path ?? "";
  const writing = pendingWrite();
  /** The step whose checkpoint was told of. A resumed run tells again: the process may have ended before it could. */
  let savedTold = -1;

  const progress = (): Progress => ({
    step,
    draws,
    events,
    evaluatedAt,
    ...(before === undefined ? {} : { before }),
    ...(best === undefined ? {} : { best }),
    ...(scaler === undefined ? {} : { scaler }),
    ...(noise.weight === 0 ? {} : { noise }),
  });
  const watch = watcher({ clipNorm: options.maxNorm });
  for (const event of options.resume?.history ?? []) watch(event);
  const told = <E extends RunEvent>(event: E): E => {
    events += 1;
    return event;
  };
  /** The event, then what it gives reason to warn of. */
  function* tell(event: RunEvent): Generator<RunEvent> {
    yield told(event);
    for (const warning of watch(event)) yield told(warning);
  }
  async function* evaluate(): AsyncGenerator<RunEvent, boolean> {
    const started = performance.now();
    const validationLoss = await meanLoss(engine, validation, signal);
    if (!Number.isFinite(validationLoss))
      throw divergedError(`validation loss after step ${step}`, validationLoss);
    const seconds = since(started);
    // Before anything is noted: an abort in here leaves the whole evaluation to be done again.
    const replies = (await options.probe?.(signal)) ?? [];
    evaluatedAt = step;
    // A checkpoint from before this evaluation does not know its result.
    savedAt = -1;
    savedTold = -1;
    before ??= validationLoss;
    const verdict = judge(best, validationLoss, step, options.patience);
    best = verdict.next;
    if (verdict.improved) await options.saveBest(await engine.trained());
    yield* tell({
      type: "evaluation",
      step,
      validationLoss,
      best: verdict.improved,
      patienceLeft: Math.max(0, options.patience.patience - best.stale),
      seconds,
    });
    if (replies.length > 0) yield* tell({ type: "probe", step, replies });
    return verdict.stop;
  }
  async function* checkpoint(): AsyncGenerator<RunEvent> {
    const started = performance.now();
    if (savedAt !== step) {
      // Its own event is not among those that it counts: the file may be all that a killed process leaves.
      await writing.done();
      const { path, written } = await options.saveCheckpoint(await engine.state(), progress());
      writing.start(written);
      savedPath = path;
      savedAt = step;
    } else if (savedTold === step) return;
    savedTold = step;
    yield told({ type: "checkpoint", step, path: savedPath, seconds: since(started) });
  }

  if (options.resume === undefined) {
    yield told({
      type: "started",
      trainableParameters: options.trainableParameters,
      totalParameters: options.totalParameters,
      steps: options.steps,
      stepsPerEpoch: training.stepsPerEpoch,
      firstStep: step + 1,
      ...(options.startSeconds === undefined ? {} : { startSeconds: options.startSeconds }),
    });
    if (options.prediction !== undefined) yield told({ type: "prediction", ...options.prediction });
  }
  let reason: StopReason = "completed";
  try {
    // A run that had stopped early has nothing left to do when it is resumed.
    let stop = best !== undefined && best.stale >= options.patience.patience;
    // What follows a step comes first: a resumed run catches up on an evaluation that was interrupted.
    for (;;) {
      const last = step === options.steps;
      if (evaluationDue(last)) stop = yield* evaluate();
      if (step > 0 && (stop || last || step % options.checkpointEvery === 0)) yield* checkpoint();
      if (stop) reason = "early-stopped";
      if (stop || last) break;
      signal?.throwIfAborted();
      writing.throwIfFailed();
      yield* trainStep();
    }
    await writing.done();
  } catch (error) {
    if (signal?.aborted !== true || !isAbort(error, signal)) throw error;
    reason = "interrupted";
    if (savedAt !== step) yield* checkpoint();
    await writing.done();
  } finally {
    // Nothing is written once the run has ended, however it did.
    await writing.settled();
  }
  if (validation.length === 0 && reason !== "interrupted") await options.saveBest(await engine.trained());
  const predicted =
    options.resume === undefined
      ? options.prediction
      : options.resume.history?.find((event) => event.type === "prediction");
  yield {
    type: "finished",
    reason,
    step,
    validationLossBefore: before ?? Number.NaN,
    validationLossBest: best?.loss ?? Number.NaN,
    bestStep: best?.step ?? step,
    tokensPerSecond: stepSeconds === 0 ? 0 : computedTokens / stepSeconds,
    stepSeconds: stepsTimed === 0 ? 0 : stepSeconds / stepsTimed,
    peakBytes: Math.max(past.peakBytes, await options.peakBytes()),
    seconds: past.seconds + since(began),
    ...(predicted === undefined ? {} : { predictedPeakBytes: predicted.peakBytes }),
    ...(predicted?.stepSeconds === undefined ? {} : { predictedStepSeconds: predicted.stepSeconds }),
    // Of a whole run, to be set beside a whole run alone.
    ...(predicted?.totalSeconds === undefined || options.resume !== undefined || reason !== "completed"
      ? {}
      : { predictedSeconds: predicted.totalSeconds }),
  };

  function evaluationDue(last: boolean): boolean {
    if (validation.length === 0 || evaluatedAt === step) return false;
    return step === 0 || last || step % options.evaluateEvery === 0;
  }
  async function* trainStep(): AsyncGenerator<RunEvent> {
    const started = performance.now();
    const batch = training.batch(step);
    const { scale } = scaler ?? { scale: 1 };
    // Counted when the whole step is done: an interrupted one draws the same masks again.
    const passes = await inEachLane(engine, batch.microBatches, async (microBatch, index, lane) => {
      const loss = await engine.accumulate(microBatch, 1 / batch.weight, draws + index, {
        signal,
        lane,
        gradientScale: scale,
      });
      const squaredNorm = engine.squaredNorm(lane) / scale ** 2;
      return { loss, part: { share: weightOf(microBatch) / batch.weight, squaredNorm } };
    });
    const loss = passes.reduce((sum, pass) => sum + pass.loss, 0);
    const parts: MeasuredGradients["parts"] = passes.map(({ part }) => part);
    if (scaler === undefined && !Number.isFinite(loss)) throw divergedError(`loss of step ${step + 1}`, loss);
    const { layout } = options;
    const next = step + 1;
    const showGradients =
      layout !== undefined && (next === options.steps || next % options.evaluateEvery === 0);
    const norms = showGradients ? layerNorms(layout, unscaled(await engine.gradient(), scale)) : undefined;
    const learningRate = options.learningRate * scheduleFactor(options.schedule, step);
    const gradientNorm = await engine.update({
      learningRate,
      weightDecay: options.weightDecay,
      maxNorm: options.maxNorm,
      // A skipped step was no update: AdamW's bias correction does not count it.
      update: step + 1 - (scaler?.skipped ?? 0),
      gradientScale: scale,
    });
    // The guarded update answers NaN when it was skipped.
    const skipped = scaler !== undefined && Number.isNaN(gradientNorm);
    if (scaler !== undefined) scaler = nextScale(scaler, !skipped, lossScaling!);
    if (skipped && scaler!.scale < LEAST_SCALE) throw overflowError(next, loss);
    if (!skipped && !Number.isFinite(gradientNorm))
      throw divergedError(`gradient norm of step ${step + 1}`, gradientNorm);
    if (!skipped)
      noise = withGradients(noise, { squaredNorm: gradientNorm ** 2, replies: batch.replies, parts });
    const measuredNoise = noiseScale(noise);
    draws += passes.length;
    step += 1;
    const seconds = since(started);
    const peakBytes = await options.peakBytes();
    computedTokens += batch.tokens;
    stepSeconds += seconds;
    stepsTimed += 1;
    if (skipped) {
      yield* tell({
        type: "skipped",
        step,
        lossScale: scaler!.scale,
        skippedSteps: scaler!.skipped,
        tokens: batch.tokens,
        peakBytes,
        seconds,
      });
      return;
    }
    yield* tell({
      type: "step",
      step,
      epoch: step / training.stepsPerEpoch,
      loss,
      gradientNorm,
      learningRate,
      replies: batch.replies,
      tokens: batch.tokens,
      supervisedTokens: batch.supervisedTokens,
      peakBytes,
      seconds,
      ...(measuredNoise === undefined ? {} : { noiseScale: measuredNoise }),
      ...(scaler === undefined ? {} : { lossScale: scale, skippedSteps: scaler.skipped }),
    });
    if (norms !== undefined) yield* tell({ type: "gradients", step, norms });
  }
}

/** What a resumed run did before, as far as its events tell. */
function pastOf(history: readonly RunEvent[]): {
  readonly computedTokens: number;
  readonly stepSeconds: number;
  readonly stepsTimed: number;
  readonly peakBytes: number;
  readonly seconds: number;
} {
  const steps = history.filter((event) => event.type === "step" || event.type === "skipped");
  const secondsOf = (events: readonly { readonly seconds: number }[]): number =>
    events.reduce((sum, { seconds }) => sum + seconds, 0);
  const others = history.filter((event) => event.type === "evaluation" || event.type === "checkpoint");
  return {
    computedTokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
    stepSeconds: secondsOf(steps),
    stepsTimed: steps.length,
    peakBytes: steps.reduce((most, { peakBytes }) => Math.max(most, peakBytes), 0),
    seconds: secondsOf(steps) + secondsOf(others),
  };
}

/** A loss scale below this has been halved 30 times: it is not the scale that overflows. */
const LEAST_SCALE = 2 ** -14;

/** Σ of the weights of its supervised tokens. */
function weightOf(sequences: readonly Sequence[]): number {
  let sum = 0;
  for (const { weights } of sequences) for (let i = 0; i < weights.length; i++) sum += weights[i]!;
  return sum;
}

function unscaled(gradient: Float32Array, scale: number): Float32Array {
  return scale === 1 ? gradient : gradient.map((value) => value / scale);
}

function overflowError(step: number, loss: number): UserError {
  return new UserError(
    `step ${step} and those before it overflow float16 however small the loss scale (loss ${loss})`,
    { next: "Start a new run with training.precision bf16 or float32." },
  );
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return (
    error === signal.reason ||
    error instanceof CancelledError ||
    (error instanceof Error && error.name === "AbortError")
  );
}

/** Token-weighted mean loss of the validation set. */
async function meanLoss(
  engine: TrainingEngine,
  batches: readonly TrainingBatch[],
  signal?: AbortSignal,
): Promise<number> {
  let sum = 0;
  let weight = 0;
  for (const batch of batches) {
    const losses = await inEachLane(engine, batch.microBatches, (microBatch, _, lane) =>
      engine.loss(microBatch, { signal, lane }),
    );
    sum += losses.reduce((all, loss) => all + loss, 0);
    weight += batch.weight;
  }
  return sum / weight;
}

function divergedError(what: string, value: number): UserError {
  return new UserError(`the ${what} is ${value}: the run has diverged`, {
    next: "Start a new run with a lower learning rate; a third of it is a good start.",
  });
}
