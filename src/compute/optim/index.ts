/** Optimisers as graphs, and learning-rate schedules. */
export { adamWDefaults, adamWGraph } from "./adamw.ts";
export type { AdamWGraphOptions, AdamWOptions } from "./adamw.ts";
export { scheduleFactor } from "./schedule.ts";
export { squaredNorm } from "./squared-norm.ts";
export type { Schedule, ScheduleKind } from "./schedule.ts";
