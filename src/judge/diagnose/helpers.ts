/** What detectors share: curves, shares with how sure they are, examples, and remedies as settings. */
import { excerpt } from "../../util/index.ts";
import type { PredictionRecord } from "../evaluate/index.ts";
import type { CurveEvent, Curves, FindingExample, RunSettings } from "./types.ts";

export function curvesOf(events: readonly CurveEvent[]): Curves {
  const finished = events.findLast((event) => event.type === "finished");
  const started = events.find((event) => event.type === "started");
  return {
    steps: events.filter((event) => event.type === "step"),
    evaluations: events.filter((event) => event.type === "evaluation"),
    ...(finished === undefined ? {} : { finished }),
    stepsPerEpoch: started?.stepsPerEpoch ?? 0,
  };
}

/** Means over `window` steps up to each step: single batches are noise. */
export function smoothed(values: readonly number[], window: number): number[] {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= window ? values[i - window]! : 0);
    return sum / Math.min(i + 1, window);
  });
}

/** Smoothed training loss at a step: the mean of the steps around it. */
export function trainingLossAt({ steps }: Curves, step: number, window: number): number | undefined {
  const near = steps.filter((one) => one.step > step - window && one.step <= step).map(({ loss }) => loss);
  return near.length === 0 ? undefined : mean(near);
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : sorted[Math.floor(sorted.length / 2)]!;
}

/** How sure one may be that a share is above what is expected of it, from the normal approximation; 0–0.99. */
export function confidenceOf(share: number, expected: number, count: number): number {
  if (count === 0 || share <= expected) return 0;
  const spread = Math.sqrt(Math.max(expected * (1 - expected), 1 / count) / count);
  return clamp(1 - Math.exp(-(share - expected) / spread / 2), 0, 0.99);
}

export const clamp = (value: number, low: number, high: number): number =>
  Math.max(low, Math.min(high, value));

/** Up to three predictions as examples. */
export function examplesOf(
  predictions: readonly PredictionRecord[],
  note?: (prediction: PredictionRecord) => string,
): FindingExample[] {
  return predictions.slice(0, 3).map((prediction) => ({
    context: excerpt(prediction.context.at(-1)?.content ?? "", 240),
    reference: excerpt(prediction.reference, 240),
    prediction: excerpt(prediction.prediction, 240),
    ...(note === undefined ? {} : { note: note(prediction) }),
  }));
}

/** Longer or shorter training by a factor, in the terms in which the run was set. */
export function trainingTimes({ training }: RunSettings, factor: number): string {
  return training.steps === undefined
    ? `training.epochs=${round(training.epochs * factor)}`
    : `training.steps=${Math.max(1, Math.round(training.steps * factor))}`;
}

export function rateTimes({ optimizer }: RunSettings, factor: number): string {
  return `optimizer.learningRate=${round(Math.min(1, optimizer.learningRate * factor))}`;
}

/** Three significant digits, without an exponent that YAML would take for text. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** Replies that a model wrote itself; those that it was not asked for are left out. */
export function generated(predictions: readonly PredictionRecord[]): readonly PredictionRecord[] {
  return predictions.filter(({ stopped_by }) => stopped_by !== "prompt too long");
}

/** The smallest number of replies on which a habit can be told. */
export const fewest = 20;
