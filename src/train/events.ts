/** What a run tells while it runs: the screen, logs, reports and tests read these same events. */
import type { Laps } from "../util/index.ts";

export type StopReason = "completed" | "early-stopped" | "interrupted";

export type RunEvent =
  | {
      readonly type: "started";
      readonly trainableParameters: number;
      readonly totalParameters: number;
      readonly steps: number;
      readonly stepsPerEpoch: number;
      /** The first step that will run, from 1; above 1 when the run was resumed. */
      readonly firstStep: number;
      /** Seconds that each part of the start took until here, by name and in order. */
      readonly startSeconds?: Laps;
    }
  | {
      /** What the plan says before the first step; never said anew when a run goes on. */
      readonly type: "prediction";
      /** Most bytes that the process is going to have resident. */
      readonly peakBytes: number;
      /** Mean of the run's steps, and all of it with evaluations; absent where the machine's speed is not known. */
      readonly stepSeconds?: number;
      readonly totalSeconds?: number;
    }
  | {
      readonly type: "step";
      /** From 1. */
      readonly step: number;
      /** Epochs done after this step, as a fraction. */
      readonly epoch: number;
      /** Mean negative log-likelihood of a supervised token, nats. */
      readonly loss: number;
      /** Global norm before clipping. */
      readonly gradientNorm: number;
      readonly learningRate: number;
      readonly replies: number;
      /** Tokens computed, after folding. */
      readonly tokens: number;
      readonly supervisedTokens: number;
      /** Most bytes the process has had resident. */
      readonly peakBytes: number;
      readonly seconds: number;
      /**
       * Gradient noise scale, in replies (sequences of a corpus): larger batches save few steps. Absent where steps are
       * one micro-batch, or while noise hides the gradient.
       */
      readonly noiseScale?: number;
      /** Of this step, and steps skipped so far; with dynamic loss scaling alone. */
      readonly lossScale?: number;
      readonly skippedSteps?: number;
    }
  | {
      /** A step whose gradient overflowed float16: counted, its batch gone by, nothing updated. */
      readonly type: "skipped";
      readonly step: number;
      /** Of the next step. */
      readonly lossScale: number;
      /** In the whole run. */
      readonly skippedSteps: number;
      readonly tokens: number;
      readonly peakBytes: number;
      readonly seconds: number;
    }
  | {
      readonly type: "gradients";
      readonly step: number;
      /** Norm of the gradient of each adapted layer, before clipping. */
      readonly norms: Readonly<Record<string, number>>;
    }
  | {
      readonly type: "evaluation";
      /** Steps done; 0 is before training. */
      readonly step: number;
      /** Token-weighted mean over the whole validation set, nats. */
      readonly validationLoss: number;
      readonly best: boolean;
      /** Evaluations without improvement that are still allowed. */
      readonly patienceLeft: number;
      readonly seconds: number;
    }
  | { readonly type: "probe"; readonly step: number; readonly replies: readonly ProbeReply[] }
  | {
      /** The state was taken; it is made durable under `path` while the next steps run. */
      readonly type: "checkpoint";
      readonly step: number;
      readonly path: string;
      /** For which the steps stood still. */
      readonly seconds: number;
    }
  | { readonly type: "warning"; readonly step: number; readonly code: string; readonly message: string }
  | {
      readonly type: "finished";
      readonly reason: StopReason;
      readonly step: number;
      readonly validationLossBefore: number;
      readonly validationLossBest: number;
      /** The step of the adapter that was kept. */
      readonly bestStep: number;
      /** Computed tokens a second over the run's steps, evaluation excluded. */
      readonly tokensPerSecond: number;
      /** Mean of the run's steps; 0 when there were none. */
      readonly stepSeconds: number;
      readonly peakBytes: number;
      /** Of this process, and before it of the run's steps, evaluations and checkpoints. */
      readonly seconds: number;
      /** What was predicted, beside what came true. */
      readonly predictedPeakBytes?: number;
      readonly predictedStepSeconds?: number;
      readonly predictedSeconds?: number;
    };

/** What the model at this step says to a held-out customer, greedily. */
export interface ProbeReply {
  /** The customer's last message. */
  readonly prompt: string;
  readonly reply: string;
  /** What the data answer. */
  readonly reference: string;
}

/** An event without what differs between two runs of one seed: times (that of day too, which a log adds), rates, memory, predictions of them, paths. */
export function withoutTimes(event: RunEvent): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).filter(([name]) => !differing.has(name)));
}

const differing: ReadonlySet<string> = new Set([
  "seconds",
  "tokensPerSecond",
  "peakBytes",
  "path",
  "time",
  "stepSeconds",
  "totalSeconds",
  "startSeconds",
  "predictedPeakBytes",
  "predictedStepSeconds",
  "predictedSeconds",
]);
