/** Training examples straight from a file, for a run that has no prepared data set: the first broken row stops it. */
import type { Example } from "../../model/text/index.ts";
import type { DialogueRecord } from "../record.ts";
import { readSources } from "./read-sources.ts";
import type { ReadOptions } from "./types.ts";

/** Yields one example a row; a row that cannot be used is a `UserError` with file, line, rule and next step. */
export async function* readExamples(
  path: string,
  options: Omit<ReadOptions, "strict"> = {},
): AsyncGenerator<Example> {
  for await (const result of readSources([path], { ...options, strict: true })) {
    if (result.kind === "record") yield toExample(result.record);
  }
}

/** The record without the place it came from. */
export function toExample(record: DialogueRecord): Example {
  const { source: _, messages, ...rest } = record;
  return { ...rest, messages };
}
