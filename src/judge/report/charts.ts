/** Scores with their intervals as rows that fit any width: the words are HTML, only the bar is drawn. */
import { type Markup, markup } from "../../util/html/index.ts";
import type { ReportedInterval } from "./evaluation-file.ts";
import { figure, range } from "./words.ts";

export interface ScoreRow {
  readonly name: Markup;
  readonly interval: Pick<ReportedInterval, "score" | "low" | "high">;
  readonly tone: number;
  readonly detail?: Markup;
}

export interface ScoreOptions {
  readonly digits?: number;
  /** What the scores are multiplied by. */
  readonly scale?: number;
  /** The end of the axis; absent: the largest value shown. */
  readonly most?: number;
}

/** One row a score: a bar from 0, a mark at the score, a whisker over the 95 % interval. */
export function scoreRows(rows: readonly ScoreRow[], options: ScoreOptions = {}): Markup {
  const { digits = 2, scale = 1 } = options;
  const ends = rows.flatMap(({ interval }) => [interval.score, interval.high]).filter(Number.isFinite);
  const most = options.most ?? Math.max(1e-9, ...ends.map((end) => end * scale));
  const x = (value: number): string =>
    String(Math.round(1000 * Math.max(0, Math.min(1, (value * scale) / most))));
  const made = rows.map(({ name, interval, tone, detail }) => {
    const { score, low, high } = interval;
    const scaled = { low: low * scale, high: high * scale };
    const drawn = Number.isFinite(score)
      ? markup`<rect class="fill-${tone}" x="0" y="3" width="${x(score)}" height="12" /><line class="ends-${tone}" x1="${x(low)}" x2="${x(high)}" y1="9" y2="9" /><line class="ends-${tone}" x1="${x(low)}" x2="${x(low)}" y1="5" y2="13" /><line class="ends-${tone}" x1="${x(high)}" x2="${x(high)}" y1="5" y2="13" />`
      : markup``;
    return markup`<div class="bar"><div class="name">${name}${detail === undefined ? markup`` : markup` <small>${detail}</small>`}</div><svg class="chart scores" viewBox="0 0 1000 18" preserveAspectRatio="none" aria-hidden="true"><rect class="track" x="0" y="3" width="1000" height="12" />${drawn}</svg><div class="value">${figure(score * scale, digits)} <small>${range(scaled, digits)}</small></div></div>`;
  });
  return markup`<div class="bars">${made}</div>`;
}

/** Plain shares as rows, such as rows of data by what was done with them. */
export function shareRows(
  rows: readonly {
    readonly name: Markup;
    readonly value: number;
    readonly shown: Markup;
    readonly tone?: string;
  }[],
  most = Math.max(1e-9, ...rows.map(({ value }) => value)),
): Markup {
  const made = rows.map(({ name, value, shown, tone = "accent" }) => {
    const width = Math.round(1000 * Math.max(0, Math.min(1, value / most)));
    return markup`<div class="bar"><div class="name">${name}</div><svg class="chart scores" viewBox="0 0 1000 18" preserveAspectRatio="none" aria-hidden="true"><rect class="track" x="0" y="3" width="1000" height="12" /><rect class="f-${tone}" x="0" y="3" width="${Math.max(value > 0 ? 2 : 0, width)}" height="12" /></svg><div class="value">${shown}</div></div>`;
  });
  return markup`<div class="bars">${made}</div>`;
}
