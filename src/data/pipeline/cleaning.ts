/** What preparing asks of cleaning. */
import type { RuleSection } from "../dataset/index.ts";
import type { DialogueRecord } from "../record.ts";

export type CleanOutcome =
  | { readonly kept: DialogueRecord }
  | { readonly kept: undefined; readonly rule: string; readonly reason: string };

export interface CleaningStage {
  process(record: DialogueRecord): CleanOutcome;
  report(): RuleSection[];
}

export function keepEverything(): CleaningStage {
  return { process: (record) => ({ kept: record }), report: () => [] };
}
