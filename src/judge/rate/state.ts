/** What a ratings file says: the study, its items, and each rater's ratings after undo. No input or output. */
import { UserError } from "../../util/index.ts";
import { checked } from "./prediction.ts";
import {
  type ItemRecord,
  type LogRecord,
  type Mark,
  type Rating,
  type StudyRecord,
  type Submission,
  raterId,
  recordSchema,
} from "./rating.ts";

/** One rater's last word on one item. */
export interface Verdict {
  /** A rating, or a skip: the rater could not judge it. */
  readonly record: Extract<LogRecord, { type: "rating" | "skip" }>;
  readonly item: ItemRecord;
}

export interface RaterState {
  /** As the rater first wrote it. */
  readonly name: string;
  /** By item key, in the order in which they were given: the last one is what undo takes back. */
  readonly verdicts: Map<string, Verdict>;
  /** How often each item was undone: the revision that its next rating must carry. */
  readonly revisions: Map<string, number>;
}

export interface StudyState {
  study: StudyRecord | undefined;
  readonly items: Map<string, ItemRecord>;
  /** By `raterId`. */
  readonly raters: Map<string, RaterState>;
}

export function emptyState(): StudyState {
  return { study: undefined, items: new Map(), raters: new Map() };
}

/** Rebuilds the state; a record that contradicts those before it is an error that names its line. */
export function replay(
  records: readonly { readonly value: unknown; readonly line: number }[],
  path: string,
): StudyState {
  const state = emptyState();
  for (const { value, line } of records) {
    const problem = apply(state, checked(recordSchema, value, `${path}:${line}`));
    if (problem !== undefined) {
      throw new UserError(problem, {
        at: `${path}:${line}`,
        next: "The file was edited or mixed with another; restore it from a copy.",
      });
    }
  }
  return state;
}

/** What is known of a rater; of a stranger, a state that belongs to nothing until a record of theirs is applied. */
export function raterState(state: StudyState, name: string): RaterState {
  return state.raters.get(raterId(name)) ?? { name, verdicts: new Map(), revisions: new Map() };
}

/** Changes `state` by one record, or says why it does not fit and changes nothing. */
export function apply(state: StudyState, record: LogRecord): string | undefined {
  if (record.type === "study") {
    if (state.study !== undefined) return "a second study begins here";
    state.study = record;
    return undefined;
  }
  if (record.type === "item") {
    if (state.items.has(record.key)) return `the item ${record.key} stands twice`;
    state.items.set(record.key, record);
    return undefined;
  }
  const item = state.items.get(record.key);
  if (item === undefined) return `no item ${record.key} in this study`;
  const rater = raterState(state, record.rater);
  const revision = rater.revisions.get(record.key) ?? 0;
  if (record.revision !== revision) return `revision ${record.revision} where ${revision} is due`;
  const rated = rater.verdicts.has(record.key);
  if (record.type === "undo") {
    if (!rated) return "nothing to undo";
    rater.verdicts.delete(record.key);
    rater.revisions.set(record.key, revision + 1);
  } else {
    if (rated) return `${record.rater} has rated ${record.key} already`;
    rater.verdicts.set(record.key, { record, item });
    state.raters.set(raterId(record.rater), rater);
  }
  return undefined;
}

/** The ratings that stand, skips left out. */
export function ratingsOf(state: StudyState): Rating[] {
  const ratings: Rating[] = [];
  for (const rater of state.raters.values()) {
    for (const { record, item } of rater.verdicts.values()) {
      if (record.type !== "rating") continue;
      const { type: _t, key: _k, target: _g, overlap: _o, ...prediction } = item;
      const { type: _r, key: _y, revision: _n, ...scores } = record;
      ratings.push({ ...prediction, ...scores, rater: rater.name });
    }
  }
  return ratings;
}

/** Whether two submissions say the same; the time taken does not count. */
export function sameVerdict(verdict: Verdict, mark: Mark | Submission): boolean {
  const { record } = verdict;
  if (record.type === "skip") return !("fluency" in mark);
  return (
    "fluency" in mark &&
    record.fluency === mark.fluency &&
    record.relevance === mark.relevance &&
    record.safety === mark.safety &&
    (record.comment ?? "") === (mark.comment ?? "")
  );
}
