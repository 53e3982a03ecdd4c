/** The report's pictures: bars beside their names, and histograms, as inline SVG. */
import { formatCount, formatPercent } from "../../../util/index.ts";
import type { Histogram } from "../manifest.ts";
import { type Markup, NOTHING, markup } from "./html.ts";

export interface BarPart {
  /** Where the part begins and how wide it is: shares of the whole width. */
  readonly from: number;
  readonly width: number;
  readonly tone: "accent" | "soft" | "ghost" | "bad" | "good";
  /** Upper or lower half of the bar, where two are compared; absent: the whole height. */
  readonly half?: "upper" | "lower";
}

/** One bar: name, picture, value. `limit` draws a dashed line at a share of the width. */
export function bar(options: {
  readonly name: string;
  readonly parts: readonly BarPart[];
  readonly value: string;
  readonly detail?: string;
  readonly limit?: number;
  readonly total?: boolean;
  readonly label: string;
}): Markup {
  const parts = options.parts
    .filter((part) => part.width > 0)
    .map((part) => {
      const [y, height] = part.half === "upper" ? [0, 8] : part.half === "lower" ? [10, 8] : [2, 14];
      // A sliver stays visible.
      const width = Math.max(part.width * 1000, 2);
      return markup`<rect
        class="f-${part.tone}"
        x="${fixed(part.from * 1000)}"
        y="${y}"
        width="${fixed(width)}"
        height="${height}"
      />`;
    });
  const limit =
    options.limit === undefined
      ? NOTHING
      : markup`<line
          class="s-limit"
          x1="${fixed(options.limit * 1000)}"
          x2="${fixed(options.limit * 1000)}"
          y1="-3"
          y2="21"
        />`;
  const detail = options.detail === undefined ? NOTHING : markup` <small>${options.detail}</small>`;
  return markup`<div class="bar${options.total === true ? " total" : ""}">
    <span class="name"><bdi>${options.name}</bdi></span
    ><svg viewBox="0 0 1000 18" preserveAspectRatio="none" role="img" aria-label="${options.label}">
      ${parts}${limit}</svg
    ><span class="value">${options.value}${detail}</span>
  </div>`;
}

export function legend(
  entries: readonly { readonly tone: BarPart["tone"] | "limit"; readonly text: string }[],
): Markup {
  const items = entries.map(({ tone, text }) => {
    const sign =
      tone === "limit"
        ? markup`<line class="s-limit" x1="5" x2="5" y1="-1" y2="11" />`
        : markup`<rect class="f-${tone}" width="10" height="10" rx="2" />`;
    return markup`<li><svg viewBox="0 0 10 10" aria-hidden="true">${sign}</svg>${text}</li>`;
  });
  return markup`<ul class="legend">
    ${items}
  </ul>`;
}

const WIDTH = 440;
const HEIGHT = 200;
const LEFT = 40;
const BOTTOM = 34;
const TOP = 10;

/**
 * A histogram as columns of equal width, one a bin, `front` over `back` where both are given. `accept` marks bins that
 * lie inside a range: the others are pale.
 */
export function histogramChart(options: {
  readonly back?: Histogram;
  readonly front: Histogram;
  readonly unit: string;
  readonly label: string;
  readonly inside?: (from: number, to: number) => boolean;
  /** A dashed line before the first bin that begins at or above this value. */
  readonly limit?: number;
}): Markup {
  const { front, back } = options;
  const last = lastUsed(front, back);
  const edges = front.edges.slice(0, last + 1);
  const most = Math.max(1, ...front.counts, ...(back?.counts ?? []));
  const top = niceCeiling(most);
  const step = (WIDTH - LEFT - 6) / edges.length;
  const y = (count: number): number => HEIGHT - BOTTOM - (count / top) * (HEIGHT - BOTTOM - TOP);
  const grid = [0.5, 1].map((part) => {
    const at = fixed(y(top * part));
    return markup`<line class="grid" x1="${LEFT}" x2="${WIDTH - 6}" y1="${at}" y2="${at}" /><text
        x="${LEFT - 6}"
        y="${fixed(y(top * part) + 3.5)}"
        text-anchor="end"
        >${shortCount(top * part)}</text
      >`;
  });
  const columns = edges.map((from, i) => {
    const x = LEFT + i * step;
    const to = edges[i + 1] ?? Number.POSITIVE_INFINITY;
    const tone = options.inside === undefined || options.inside(from, to) ? "accent" : "soft";
    const column = (count: number, inset: number, kind: string): Markup =>
      count === 0
        ? NOTHING
        : markup`<rect
            class="f-${kind}"
            x="${fixed(x + inset)}"
            width="${fixed(step - 2 * inset)}"
            y="${fixed(Math.min(y(count), HEIGHT - BOTTOM - 1))}"
            height="${fixed(Math.max(1, HEIGHT - BOTTOM - y(count)))}"
          />`;
    const title = markup`<title>
      ${binName(from, to)} ${options.unit}:
      ${formatCount(front.counts[i]!)}${back === undefined ? "" : ` (before: ${formatCount(back.counts[i]!)})`}
    </title>`;
    return markup`<g
      >${title}${back === undefined ? NOTHING : column(back.counts[i]!, 1, "ghost")}${column(front.counts[i]!, back === undefined ? 1.5 : step * 0.22, tone)}</g
    >`;
  });
  // Every label where there is room, else every second.
  const every = step < 24 ? 2 : 1;
  const labels = edges.map((from, i) =>
    i % every === 0
      ? markup`<text x="${fixed(LEFT + (i + 0.5) * step)}" y="${HEIGHT - BOTTOM + 14}" text-anchor="middle"
          >${binLabel(edges, i, last < front.edges.length - 1)}</text
        >`
      : NOTHING,
  );
  const limitAt = options.limit === undefined ? -1 : edges.findIndex((from) => from >= options.limit!);
  const limit =
    limitAt < 0
      ? NOTHING
      : markup`<line
          class="s-limit"
          x1="${fixed(LEFT + limitAt * step)}"
          x2="${fixed(LEFT + limitAt * step)}"
          y1="${TOP}"
          y2="${HEIGHT - BOTTOM}"
        />`;
  return markup`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${options.label}">
    ${grid}${columns}
    <line class="axis" x1="${LEFT}" x2="${WIDTH - 6}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM}" />
    ${labels}${limit}
    <text x="${fixed((LEFT + WIDTH) / 2)}" y="${HEIGHT - 4}" text-anchor="middle">${options.unit}</text>
  </svg>`;
}

/** Index of the last bin that holds anything. */
function lastUsed(front: Histogram, back: Histogram | undefined): number {
  return Math.max(
    3,
    front.counts.findLastIndex((count) => count > 0),
    back?.counts.findLastIndex((count) => count > 0) ?? 0,
  );
}

function binName(from: number, to: number): string {
  if (to === Number.POSITIVE_INFINITY) return `${from} or more`;
  return to - 1 === from ? `${from}` : `${from}–${to - 1}`;
}

function binLabel(edges: readonly number[], i: number, cut: boolean): string {
  const from = edges[i]!;
  return i === edges.length - 1 && !cut ? `${shortCount(from)}+` : shortCount(from);
}

/** 1, 2 or 5 times a power of ten, at or above the value; at least 2, so that its half is whole. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return Math.max(
    2,
    [1, 2, 4, 5, 6, 8, 10].map((k) => k * power).find((nice) => nice >= value)!,
  );
}

function shortCount(value: number): string {
  if (value >= 1_000_000) return `${Number((value / 1_000_000).toPrecision(2))}M`;
  if (value >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return formatCount(value);
}

function fixed(value: number): string {
  return String(Math.round(value * 100) / 100);
}

export function percent(part: number, whole: number): string {
  return whole === 0 ? "0 %" : formatPercent(part / whole, 1);
}
