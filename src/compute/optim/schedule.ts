/** Learning-rate schedules: the factor by which the peak rate is multiplied at each step. */

/** `wsd`: warm-up, stable, decay. */
export type ScheduleKind = "constant" | "linear" | "cosine" | "wsd";

export interface Schedule {
  readonly kind: ScheduleKind;
  /** Steps over which the rate rises linearly from 0 to its peak. */
  readonly warmupSteps: number;
  readonly totalSteps: number;
  /** Of `wsd`: steps at the end over which the rate falls linearly to 0. */
  readonly decaySteps?: number;
}

/**
 * The factor at `step` (0 for the first update), equal to transformers' `get_{constant,linear,cosine}_schedule_with_warmup`
 * and `get_wsd_schedule`: warm-up step / warmupSteps, then constant, linear to 0, half a cosine to 0, or linear to 0 at the end.
 */
export function scheduleFactor(
  { kind, warmupSteps, totalSteps, decaySteps = 0 }: Schedule,
  step: number,
): number {
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  switch (kind) {
    case "constant":
      return 1;
    case "linear":
      return 1 - progress;
    case "cosine":
      return 0.5 * (1 + Math.cos(Math.PI * progress));
    case "wsd":
      return Math.min(1, Math.max(0, totalSteps - step) / Math.max(1, decaySteps));
  }
}
