/** One sentence on what became of the rows, and what unfolding does to the counts. */
import { formatCount } from "../../util/index.ts";
import type { ReadOptions, ReadReport } from "./types.ts";

export interface ReadCounts {
  readonly rowsRead: number;
  readonly rowsKept: number;
  readonly rowsRejected: number;
  readonly records: number;
  readonly replies: number;
}

/** Sums over all sources; rows read = kept + rejected. */
export function readCounts(report: ReadReport): ReadCounts {
  const counts = { rowsRead: 0, rowsKept: 0, rowsRejected: 0, records: 0, replies: 0 };
  for (const source of report.sources) {
    for (const name of Object.keys(counts) as (keyof ReadCounts)[]) counts[name] += source[name];
  }
  return counts;
}

/** "1,200 rows read = 1,190 kept + 10 rejected. …" */
export function describeCounts(report: ReadReport, unfold: ReadOptions["unfold"] = "conversation"): string {
  const { rowsRead, rowsKept, rowsRejected, records, replies } = readCounts(report);
  const rows = `${formatCount(rowsRead)} rows read = ${formatCount(rowsKept)} kept + ${formatCount(rowsRejected)} rejected.`;
  if (unfold === "reply") {
    return `${rows} Each reply is a record with its history: ${formatCount(records)} records; whole conversations would be ${formatCount(rowsKept)}.`;
  }
  return records === replies
    ? `${rows} Each row is one record with one reply to learn.`
    : `${rows} Each conversation is one record with all its replies to learn: ${formatCount(records)} records, ${formatCount(replies)} replies; with unfold: reply they would be ${formatCount(replies)} records.`;
}
