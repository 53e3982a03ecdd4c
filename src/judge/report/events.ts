/** events.jsonl of a run as curves, whatever stands in it: broken lines are counted, long runs are thinned. */
import { readBoundedLines } from "../../util/index.ts";

export interface CurveStep {
  readonly step: number;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
}

export interface ProbeShown {
  readonly step: number;
  readonly replies: readonly {
    readonly prompt: string;
    readonly reply: string;
    readonly reference: string;
  }[];
}

export interface RunCurves {
  readonly trainableParameters?: number;
  readonly totalParameters?: number;
  readonly plannedSteps?: number;
  readonly stepsPerEpoch?: number;
  /** Every step, or every n-th of a very long run. */
  readonly steps: readonly CurveStep[];
  readonly lastStep: number;
  readonly epoch?: number;
  readonly evaluations: readonly { readonly step: number; readonly validationLoss: number }[];
  /** The first and the last. */
  readonly probes: readonly ProbeShown[];
  readonly warnings: readonly { readonly step: number; readonly message: string }[];
  readonly warningCount: number;
  readonly finished?: {
    readonly reason: string;
    readonly step: number;
    readonly bestStep: number;
    readonly before: number;
    readonly best: number;
    readonly seconds: number;
    readonly tokensPerSecond: number;
    readonly peakBytes: number;
    /** Of an average step; NaN in a run of an older version, as the prediction is. */
    readonly stepSeconds: number;
    readonly predictedPeakBytes: number;
    readonly predictedStepSeconds: number;
    readonly predictedSeconds: number;
  };
  readonly resumed: number;
  readonly broken: number;
  readonly firstBroken?: number;
}

const longestLine = 4_000_000;
const mostSteps = 20_000;
const mostWarnings = 20;

type Fields = Readonly<Record<string, unknown>>;

/** Reads what is there. A torn last line, as a crash leaves it, is no fault. */
export async function readCurves(path: string): Promise<RunCurves> {
  const made = {
    steps: [] as CurveStep[],
    evaluations: [] as { step: number; validationLoss: number }[],
    warnings: [] as { step: number; message: string }[],
  };
  let stride = 1;
  let [lastStep, warningCount, starts, broken, epoch] = [0, 0, 0, 0, Number.NaN];
  let firstBroken: number | undefined;
  let started: Fields | undefined;
  let finished: Fields | undefined;
  const probes: { first?: ProbeShown; last?: ProbeShown } = {};
  for await (const { line, text, torn } of readBoundedLines(path, longestLine)) {
    const event = text === undefined ? undefined : fieldsOf(text);
    if (event === undefined) {
      if (torn) continue;
      broken += 1;
      firstBroken ??= line;
      continue;
    }
    const step = numberOf(event["step"]);
    switch (event["type"]) {
      case "started":
        started = event;
        finished = undefined;
        starts += 1;
        break;
      case "step":
        if (!Number.isFinite(step)) break;
        lastStep = step;
        epoch = numberOf(event["epoch"]);
        if (step % stride === 0 || made.steps.length === 0) made.steps.push(curveStep(step, event));
        if (made.steps.length > mostSteps) {
          stride *= 2;
          made.steps = made.steps.filter((one) => one.step % stride === 0);
        }
        break;
      case "evaluation":
        if (made.evaluations.length < mostSteps && Number.isFinite(step))
          made.evaluations.push({ step, validationLoss: numberOf(event["validationLoss"]) });
        break;
      case "probe": {
        const probe = probeOf(step, event["replies"]);
        if (probe === undefined) break;
        probes.first ??= probe;
        probes.last = probe;
        break;
      }
      case "warning":
        warningCount += 1;
        if (made.warnings.length < mostWarnings)
          made.warnings.push({ step, message: textOf(event["message"], 600) });
        break;
      case "finished":
        finished = event;
        break;
      default:
    }
  }
  return {
    ...(started === undefined
      ? {}
      : {
          trainableParameters: numberOf(started["trainableParameters"]),
          totalParameters: numberOf(started["totalParameters"]),
          plannedSteps: numberOf(started["steps"]),
          stepsPerEpoch: numberOf(started["stepsPerEpoch"]),
        }),
    ...made,
    lastStep,
    ...(Number.isFinite(epoch) ? { epoch } : {}),
    probes: [probes.first, probes.last === probes.first ? undefined : probes.last].filter(
      (probe) => probe !== undefined,
    ),
    warningCount,
    ...(finished === undefined ? {} : { finished: finishOf(finished) }),
    resumed: Math.max(0, starts - 1),
    broken,
    ...(firstBroken === undefined ? {} : { firstBroken }),
  };
}

function fieldsOf(text: string): Fields | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    const usable = typeof value === "object" && value !== null && "type" in value;
    return usable ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

/** What is no number counts as not measured. */
const numberOf = (value: unknown): number => (typeof value === "number" ? value : Number.NaN);

const textOf = (value: unknown, most: number): string =>
  typeof value === "string" ? value.slice(0, most) : "";

const curveStep = (step: number, event: Fields): CurveStep => ({
  step,
  loss: numberOf(event["loss"]),
  gradientNorm: numberOf(event["gradientNorm"]),
  learningRate: numberOf(event["learningRate"]),
});

function probeOf(step: number, replies: unknown): ProbeShown | undefined {
  if (!Array.isArray(replies) || replies.length === 0) return undefined;
  return {
    step,
    replies: replies.slice(0, 8).map((one: unknown) => {
      const reply = (typeof one === "object" && one !== null ? one : {}) as Fields;
      return {
        prompt: textOf(reply["prompt"], 1000),
        reply: textOf(reply["reply"], 1000),
        reference: textOf(reply["reference"], 1000),
      };
    }),
  };
}

function finishOf(event: Fields): NonNullable<RunCurves["finished"]> {
  return {
    reason: textOf(event["reason"], 40),
    step: numberOf(event["step"]),
    bestStep: numberOf(event["bestStep"]),
    before: numberOf(event["validationLossBefore"]),
    best: numberOf(event["validationLossBest"]),
    seconds: numberOf(event["seconds"]),
    tokensPerSecond: numberOf(event["tokensPerSecond"]),
    peakBytes: numberOf(event["peakBytes"]),
    stepSeconds: numberOf(event["stepSeconds"]),
    predictedPeakBytes: numberOf(event["predictedPeakBytes"]),
    predictedStepSeconds: numberOf(event["predictedStepSeconds"]),
    predictedSeconds: numberOf(event["predictedSeconds"]),
  };
}
