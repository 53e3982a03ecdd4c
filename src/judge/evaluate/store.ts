/** Where the parts of an evaluation are kept while it runs. */
import type { Measures } from "./measures.ts";
import type { Records } from "./records.ts";
import type { LossRecord, PredictionRecord } from "./types.ts";

export interface Store {
  readonly predictions: Records<PredictionRecord>;
  readonly losses: Records<LossRecord>;
  readonly measures: Measures;
  /** By system name. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** Names the set of items. */
  readonly itemsKey: string;
}
