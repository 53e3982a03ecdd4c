/** Reading and the rules that look at one record alone: the part of preparing that runs in a thread of its own. */
import type { Readable } from "node:stream";
import {
  cleaner,
  countWords,
  type CleanConfig,
  type Cleaner,
  RULES,
  RULE_KEYS,
  type RuleReport,
} from "../clean/index.ts";
import type { Histogram } from "../dataset/index.ts";
import {
  type FieldMap,
  type LayoutName,
  type ReadOptions,
  type SourceReport,
  readSources,
} from "../read/index.ts";
import type { DialogueRecord, Rejection } from "../record.ts";
import { HistogramCounter, TURN_EDGES, WORD_EDGES } from "./histogram.ts";

/** Plain data: it is sent to the thread. */
export interface SourceTask {
  readonly sources: readonly {
    readonly path: string;
    readonly format?: string | undefined;
    readonly fields?: FieldMap | undefined;
  }[];
  readonly unfold: "conversation" | "reply";
  readonly clean: CleanConfig;
  readonly strict: boolean;
}

/** A record that passed, with the words of each reply that is to be learned, in the order of its messages. */
export interface StagedRecord {
  readonly record: DialogueRecord;
  readonly words: readonly number[];
}

export type StagedRow = StagedRecord | { readonly rejection: Rejection };

export interface StagedBatch {
  /** Position in `task.sources`. */
  readonly source: number;
  /** Empty while the data is looked at for the first time. */
  readonly rows: readonly StagedRow[];
  readonly looking: boolean;
  /** [0, 1] of the input of this pass, where its size is known. */
  readonly fraction: number | undefined;
}

export interface SourceSummary {
  readonly sources: readonly SourceReport[];
  readonly rules: readonly RuleReport[];
  readonly wordsBefore: Histogram;
  readonly turnsBefore: Histogram;
}

const BATCH_ROWS = 256;

/** Yields batches in source order; the same task gives the same batches. */
export async function* sourceStage(
  task: SourceTask,
  stdin?: Readable,
): AsyncGenerator<StagedBatch, SourceSummary> {
  const rules = cleaner(
    task.clean,
    {},
    RULE_KEYS.filter((key) => RULES[key].scope === "record"),
  );
  if (looksTwice(task)) yield* firstLook(task, rules);
  const words = new HistogramCounter(WORD_EDGES);
  const turns = new HistogramCounter(TURN_EDGES);
  const reports: SourceReport[] = [];
  for (const [source, input] of task.sources.entries()) {
    let fraction: number | undefined;
    const reading = readSources([input.path], {
      ...readOptions(task, input, (read) => (fraction = (source + read) / task.sources.length)),
      ...(stdin === undefined ? {} : { stdin }),
    });
    let rows: StagedRow[] = [];
    for await (const result of reading) {
      if (result.kind === "rejected") rows.push(result);
      else rows.push(stageRecord(result.record, rules, words, turns));
      if (rows.length < BATCH_ROWS) continue;
      yield { source, rows, looking: false, fraction };
      rows = [];
    }
    yield { source, rows, looking: false, fraction };
    reports.push(...reading.report.sources);
  }
  return {
    sources: reports,
    rules: rules.finish().rules,
    wordsBefore: words.value(),
    turnsBefore: turns.value(),
  };
}

function stageRecord(
  record: DialogueRecord,
  rules: Cleaner,
  words: HistogramCounter,
  turns: HistogramCounter,
): StagedRow {
  // Cleaning leaves most replies as they were: none is counted twice.
  const known = new Map<string, number>();
  const before = replyWords(record, known);
  for (const count of before) words.add(count);
  turns.add(exchanges(record));
  const outcome = rules.process(record);
  if (outcome.kind === "rejected") return outcome;
  return { record: outcome.record, words: outcome.changed ? replyWords(outcome.record, known) : before };
}

function replyWords(record: DialogueRecord, known: Map<string, number>): number[] {
  const counts: number[] = [];
  for (const { role, content, supervised } of record.messages) {
    if (role !== "assistant" || supervised === false) continue;
    let count = known.get(content);
    if (count === undefined) known.set(content, (count = countWords(content)));
    counts.push(count);
  }
  return counts;
}

/** Messages of the user: what a turn counts. */
export function exchanges(record: Pick<DialogueRecord, "messages">): number {
  return record.messages.reduce((sum, { role }) => sum + (role === "user" ? 1 : 0), 0);
}

/** Numbers that many dialogues name are public; to know them, the data is read twice. Standard input cannot be. */
function looksTwice(task: SourceTask): boolean {
  const { personalData } = task.clean;
  const wanted = personalData.enabled && personalData.allowPublic.dialogues > 0;
  return wanted && task.sources.every(({ path }) => path !== "-");
}

async function* firstLook(task: SourceTask, rules: Cleaner): AsyncGenerator<StagedBatch, void> {
  for (const [source, input] of task.sources.entries()) {
    let fraction: number | undefined;
    const options = readOptions(task, input, (read) => (fraction = (source + read) / task.sources.length));
    let seen = 0;
    for await (const result of readSources([input.path], options)) {
      if (result.kind === "record") rules.observe(result.record);
      seen += 1;
      if (seen % BATCH_ROWS === 0) yield { source, rows: [], looking: true, fraction };
    }
  }
}

function readOptions(
  task: SourceTask,
  input: SourceTask["sources"][number],
  onFraction: (fraction: number) => void,
): ReadOptions {
  return {
    unfold: task.unfold,
    strict: task.strict,
    // The reader checks the name and proposes the nearest.
    format: input.format as LayoutName | undefined,
    fields: input.fields,
    onProgress: ({ bytesRead, bytesTotal }) => {
      if (bytesTotal !== undefined && bytesTotal > 0) onFraction(bytesRead / bytesTotal);
    },
  };
}
