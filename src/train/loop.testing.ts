/** The loop on an engine that only counts, and all that it does recorded. */
import { CancelledError } from "../util/index.ts";
import type { Progress } from "./checkpoint.ts";
import type { TrainedState, TrainingEngine } from "./engine.ts";
import type { RunEvent } from "./events.ts";
import { type BatchSource, type LoopOptions, type TrainingBatch, trainingLoop } from "./loop.ts";

/** One micro-batch whose only token id says which step and part it is. */
export function batchOf(step: number): TrainingBatch {
  const parts = 1 + (step % 3);
  const microBatches = Array.from({ length: parts }, (_, part) => [{ ids: [step, part], weights: [0, 1] }]);
  return { microBatches, replies: parts, tokens: 2 * parts, supervisedTokens: parts, weight: parts };
}
export const training: BatchSource = { stepsPerEpoch: 4, batch: batchOf };
export const validation: readonly TrainingBatch[] = [batchOf(0), batchOf(1)];

export interface FakeOptions {
  /** Validation loss after n updates. */
  readonly losses: readonly number[];
  /** Called before every accumulate and loss. */
  readonly onCall?: () => void;
  readonly accumulated?: (step: number) => number;
  readonly norm?: number;
  /** Of each micro-batch's gradient. */
  readonly squaredNorm?: number;
}

/** An engine whose parameters are [updates, hash of everything that was accumulated]. */
function fakeEngine({ losses, onCall, accumulated, norm = 1, squaredNorm }: FakeOptions) {
  let parameters = Float32Array.of(0, 0);
  let gradient = 0;
  const calls: { step: number; scale: number; draw: number }[] = [];
  const check = (signal: AbortSignal | undefined): void => {
    onCall?.();
    if (signal?.aborted === true) throw new CancelledError("the step");
  };
  const engine: TrainingEngine = {
    lanes: 1,
    accumulate: async (sequences, scale, draw, { signal } = {}) => {
      check(signal);
      const [step, part] = Array.from(sequences[0]!.ids) as [number, number];
      calls.push({ step, scale, draw });
      gradient = Math.fround(gradient + Math.sin(step * 10 + part + draw * 100));
      return accumulated?.(step) ?? scale * (2 - step / 10);
    },
    update: async ({ update }) => {
      parameters = Float32Array.of(update, parameters[1]! * 0.5 + gradient);
      gradient = 0;
      return norm;
    },
    loss: async (_, { signal } = {}) => {
      check(signal);
      return losses[parameters[0]!]!;
    },
    squaredNorm: () => squaredNorm ?? 1 + Math.sin(gradient) ** 2,
    gradient: async () => Float32Array.of(gradient),
    parameters: () => ({ dtype: "float32", shape: [2], id: 0 }),
    trained: async () => parameters.slice(),
    state: async () => ({
      parameters: parameters.slice(),
      firstMoment: new Float32Array(2),
      secondMoment: new Float32Array(2),
    }),
    restore: async (state) => {
      parameters = state.parameters.slice();
      gradient = 0;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  return { engine, calls, parameters: () => parameters.slice() };
}

export interface Recorded {
  readonly events: RunEvent[];
  readonly best: Float32Array[];
  readonly checkpoints: { state: TrainedState; progress: Progress; path: string }[];
  readonly parameters: Float32Array;
  readonly calls: readonly { step: number; scale: number; draw: number }[];
}

export interface RecordOptions
  extends
    FakeOptions,
    Partial<Pick<LoopOptions, "steps" | "patience" | "resume" | "prediction" | "training">> {
  readonly validation?: readonly TrainingBatch[];
  readonly signal?: AbortSignal;
  /** Ends when the checkpoint of that step is durable. */
  readonly written?: (step: number) => Promise<unknown>;
  readonly onEvent?: (event: RunEvent) => void;
}

export async function record(options: RecordOptions): Promise<Recorded> {
  const { engine, calls, parameters } = fakeEngine(options);
  const [events, best, checkpoints]: [RunEvent[], Float32Array[], Recorded["checkpoints"]] = [[], [], []];
  const loop = trainingLoop(
    {
      engine,
      training: options.training ?? training,
      validation: options.validation ?? validation,
      steps: options.steps ?? 7,
      learningRate: 0.1,
      weightDecay: 0,
      maxNorm: 1,
      schedule: { kind: "linear", warmupSteps: 2, totalSteps: options.steps ?? 7 },
      evaluateEvery: 2,
      patience: options.patience ?? { patience: 10, minDelta: 0 },
      checkpointEvery: 3,
      trainableParameters: 2,
      totalParameters: 10,
      saveCheckpoint: async (state, progress) => {
        const path = `checkpoint ${progress.step}`;
        checkpoints.push({ state, progress: structuredClone(progress), path });
        return { path, written: options.written?.(progress.step) ?? Promise.resolve() };
      },
      saveBest: async (values) => {
        best.push(values);
      },
      peakBytes: async () => 1,
      ...(options.resume === undefined ? {} : { resume: options.resume }),
      ...(options.prediction === undefined ? {} : { prediction: options.prediction }),
    },
    options.signal,
  );
  for await (const event of loop) {
    events.push(event);
    options.onEvent?.(event);
  }
  return { events, best, checkpoints, parameters: parameters(), calls };
}

export const falling = [6, 5, 4, 3, 2, 1, 0.5, 0.25];
export const short = (event: RunEvent): string =>
  "step" in event ? `${event.type} ${event.step}` : event.type;
