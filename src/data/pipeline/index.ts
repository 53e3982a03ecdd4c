/** From raw sources to a data set on disk. */
export { dataConfigSchema } from "./config.ts";
export type { DataConfig, DataConfigInput } from "./config.ts";
export type { TokenCounter } from "./lengths.ts";
export { prepareDataset } from "./prepare.ts";
export type { PrepareOptions, PrepareResult } from "./prepare.ts";
export type { Phase, PrepareProgress } from "./progress.ts";
