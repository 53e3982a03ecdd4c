/** Reading and cleaning: every row of every source ends in the intake or among the rejected. */
import type { Manifest, RuleSection } from "../dataset/index.ts";
import { type LayoutName, type ReadOptions, type SourceReport, readSources } from "../read/index.ts";
import type { DialogueRecord, Rejection } from "../record.ts";
import { keepEverything } from "./cleaning.ts";
import type { DataConfig } from "./config.ts";
import type { Intake } from "./intake.ts";
import { Lengths } from "./lengths.ts";
import type { PrepareOptions } from "./prepare.ts";
import type { ProgressClock } from "./progress.ts";

const EXCERPT_CHARACTERS = 2000;

export interface TakeInTools {
  readonly intake: Intake;
  readonly reject: (rejection: Rejection) => Promise<void> | undefined;
  readonly tick: () => void;
  readonly clock: ProgressClock;
}

export interface TakenIn {
  /** Rows that came in: records, and rows that gave none. */
  readonly read: number;
  readonly sources: readonly SourceReport[];
  readonly sourceNames: readonly string[];
  readonly sourceWeights: readonly (number | undefined)[];
  readonly rules: readonly RuleSection[];
  readonly lengths: Manifest["lengths"];
}

export async function takeIn(
  config: DataConfig,
  options: PrepareOptions,
  tools: TakeInTools,
): Promise<TakenIn> {
  const { intake, reject, tick, clock } = tools;
  const inputs = config.sources.map((source) => (typeof source === "string" ? { path: source } : source));
  const sources: SourceReport[] = [];
  const lengths = new Lengths((text) => text.split(/\s+/).length, options.tokens);
  const cleaner = keepEverything();
  let read = 0;
  for (const [index, source] of inputs.entries()) {
    const reading = readSources(
      [source.path],
      readOptions(config, source, options, (fraction) =>
        clock.setFraction((index + fraction) / inputs.length),
      ),
    );
    for await (const result of reading) {
      tick();
      read += 1;
      if (result.kind === "rejected") {
        await reject(result.rejection);
        continue;
      }
      const { record } = result;
      lengths.before(record);
      const outcome = cleaner.process(record);
      if (outcome.kept === undefined) {
        const { rule, reason } = outcome;
        await reject({ source: record.source, rule, reason, excerpt: excerptOf(record) });
        continue;
      }
      lengths.after(outcome.kept);
      const due = intake.add(outcome.kept, index);
      if (due !== undefined) await due;
    }
    sources.push(...reading.report.sources);
  }
  await intake.finish();
  return {
    read,
    sources,
    sourceNames: inputs.map((source) => source.path),
    sourceWeights: inputs.map((source) => ("weight" in source ? source.weight : undefined)),
    rules: cleaner.report(),
    lengths: lengths.value(),
  };
}

type SourceInput = Exclude<DataConfig["sources"][number], string>;

function readOptions(
  config: DataConfig,
  source: SourceInput,
  options: PrepareOptions,
  onFraction: (fraction: number) => void,
): ReadOptions {
  // The reader checks the name and proposes the nearest.
  const format = (source.format ?? config.format) as LayoutName | undefined;
  const fields = source.fields ?? config.fields;
  return {
    unfold: config.examples,
    strict: options.strict,
    format,
    fields,
    onProgress: ({ bytesRead, bytesTotal }) => {
      if (bytesTotal !== undefined && bytesTotal > 0) onFraction(bytesRead / bytesTotal);
    },
  };
}

/** What was read, as JSON: the row itself may be a cell of a table or a page of XML. */
function excerptOf(record: DialogueRecord): string {
  const { source: _, ...rest } = record;
  return JSON.stringify(rest).slice(0, EXCERPT_CHARACTERS);
}
