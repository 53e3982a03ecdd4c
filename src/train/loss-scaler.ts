/** Dynamic loss scaling for float16 gradients, step for step PyTorch's GradScaler. */

export interface ScalerOptions {
  readonly initial: number;
  /** Factor after `interval` good steps in a row, and after a step that overflowed. */
  readonly growth: number;
  readonly backoff: number;
  readonly interval: number;
}

/** The defaults of torch.amp.GradScaler. */
export const scalerDefaults: ScalerOptions = { initial: 65_536, growth: 2, backoff: 0.5, interval: 2000 };

export interface ScalerState {
  /** By which the loss is multiplied, and the gradient divided. */
  readonly scale: number;
  /** Steps since the scale last changed. */
  readonly goodSteps: number;
  /** Steps that were skipped in the whole run. */
  readonly skipped: number;
}

export function firstScale({ initial }: ScalerOptions): ScalerState {
  return { scale: initial, goodSteps: 0, skipped: 0 };
}

/** The state after a step whose gradient was finite or not. The scale is a float32, and grows only while it stays finite. */
export function nextScale(state: ScalerState, finite: boolean, options: ScalerOptions): ScalerState {
  const { scale, goodSteps, skipped } = state;
  if (!finite) {
    return { scale: Math.fround(scale * options.backoff), goodSteps: 0, skipped: skipped + 1 };
  }
  if (goodSteps + 1 < options.interval) return { scale, goodSteps: goodSteps + 1, skipped };
  const grown = Math.fround(scale * options.growth);
  return { scale: Number.isFinite(grown) ? grown : scale, goodSteps: 0, skipped };
}
