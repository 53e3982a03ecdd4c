/** Early stopping on validation loss: the best so far, and how long nothing has improved on it. */

export interface Patience {
  /** Evaluations without improvement before the run stops. */
  readonly patience: number;
  /** How much lower a loss must be to count as an improvement, nats. */
  readonly minDelta: number;
}

export interface BestSoFar {
  readonly loss: number;
  readonly step: number;
  /** Evaluations since then. */
  readonly stale: number;
}

export interface Verdict {
  readonly next: BestSoFar;
  readonly improved: boolean;
  readonly stop: boolean;
}

/** Judges one evaluation. A loss that is not a number never improves. */
export function judge(best: BestSoFar | undefined, loss: number, step: number, options: Patience): Verdict {
  const improved = best === undefined || loss < best.loss - options.minDelta;
  const next = improved ? { loss, step, stale: 0 } : { ...best, stale: best.stale + 1 };
  return { next, improved, stop: next.stale >= options.patience };
}
