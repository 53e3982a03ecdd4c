/** How long a step will take: work counted from the run's graphs, at speeds that a calibration found. */
import {
  type Graph,
  type ProductKind,
  type SymbolSizes,
  type Work,
  viewRows,
  workCounter,
} from "../compute/graph/index.ts";
import type { RunGraphs } from "./peak-memory.ts";

/** Speeds of a machine, each measured on a node by itself. */
export interface Rates {
  /** Of the kinds of product that a step has. */
  readonly operationsPerSecond: Readonly<Partial<Record<ProductKind, number>>>;
  readonly bytesPerSecond: number;
  /** Of any node, beside what it does. */
  readonly nodeSeconds: number;
}

/**
 * Rates, and what they leave out: caches that others filled, nodes that the runtime joins, layout of batches, masks. A
 * small model of the same widths was trained for it.
 */
export interface Calibration {
  readonly rates: Rates;
  /**
   * By micro-batch, in ascending order: what rates say of it in the whole model, and how many times longer than they
   * say the small model took over it.
   */
  readonly passes: readonly { readonly seconds: number; readonly factor: number }[];
  /** The same of measuring the loss alone, and of an update. */
  readonly measuringFactor: number;
  readonly updateFactor: number;
}

/** The time that rates alone say. */
export function secondsAt({ operations, bytes, nodes }: Work, rates: Rates): number {
  const { operationsPerSecond, bytesPerSecond, nodeSeconds } = rates;
  let seconds = bytes / bytesPerSecond + nodes * nodeSeconds;
  for (const [kind, count] of Object.entries(operations) as [ProductKind, number][])
    if (count > 0) seconds += count / operationsPerSecond[kind]!;
  return seconds;
}

export interface StepTimes {
  /** Forward and backward pass of a micro-batch of these sizes, from sequences to gradient. */
  readonly pass: (sizes: SymbolSizes) => number;
  /** Its loss alone. */
  readonly measuring: (sizes: SymbolSizes) => number;
  readonly updateSeconds: number;
}

/** Seconds, for any micro-batch of a run with these graphs; counters as `graphCounters` makes them. */
export function stepTimes(counters: GraphCounters, calibration: Calibration): StepTimes {
  const { rates, measuringFactor, updateFactor } = calibration;
  return {
    pass: (sizes) => {
      const seconds = secondsAt(counters.step(sizes), rates);
      return seconds * factorAt(calibration.passes, seconds);
    },
    measuring: (sizes) => secondsAt(counters.measuring(sizes), rates) * measuringFactor,
    updateSeconds: secondsAt(counters.update, rates) * updateFactor,
  };
}

export interface GraphCounters {
  readonly step: (sizes: SymbolSizes) => Work;
  readonly measuring: (sizes: SymbolSizes) => Work;
  readonly update: Work;
}

export function graphCounters({ step, measuring, update }: RunGraphs): GraphCounters {
  const counterOf = (graph: Graph): GraphCounters["step"] => workCounter(viewRows(graph).graph);
  let counter: GraphCounters["measuring"] | undefined;
  return {
    step: counterOf(step),
    measuring: (sizes) => (counter ??= counterOf(measuring()))(sizes),
    // Every size is known when it is built.
    update: counterOf(update)(new Map()),
  };
}

/** Between what was measured straight lines, beyond it the nearest. */
export function factorAt(passes: Calibration["passes"], seconds: number): number {
  const above = passes.findIndex((pass) => pass.seconds >= seconds);
  if (above <= 0) return (above === 0 ? passes[0] : passes.at(-1))?.factor ?? 1;
  const [low, high] = [passes[above - 1]!, passes[above]!];
  const share = (seconds - low.seconds) / (high.seconds - low.seconds);
  return low.factor + share * (high.factor - low.factor);
}
