/** Learning-rate schedules: the factor by which the peak rate is multiplied at each step. */

export type ScheduleKind = "constant" | "linear" | "cosine";

export interface Schedule {
  readonly kind: ScheduleKind;
  /** Steps over which the rate rises linearly from 0 to its peak. */
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * The factor at `step` (0 for the first update), equal to transformers' `get_{constant,linear,cosine}_schedule_with_warmup`:
 * warm-up step / warmupSteps, then constant, linear to 0, or half a cosine to 0.
 */
export function scheduleFactor({ kind, warmupSteps, totalSteps }: Schedule, step: number): number {
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  switch (kind) {
    case "constant":
      return 1;
    case "linear":
      return 1 - progress;
    case "cosine":
      return 0.5 * (1 + Math.cos(Math.PI * progress));
  }
}
