/** Charts as inline SVG or as files of their own: lines over a measure, and points with intervals. */
import { type Markup, NOTHING, markup } from "./markup.ts";

export interface LineSeries {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Which of the palette's colours, from 0. */
  readonly tone: number;
  readonly dashed?: boolean;
  /** Points only, for few and uneven measurements. */
  readonly dots?: boolean;
}

export interface ChartOptions {
  /** What a reader who cannot see the picture is told. */
  readonly label: string;
  readonly xUnit: string;
  readonly yUnit: string;
  /** A vertical dashed line with its name. */
  readonly mark?: { readonly x: number; readonly name: string };
  readonly logY?: boolean;
  readonly fromZero?: boolean;
  /** Whether the picture itself names its lines, as a file of its own must; a page has `chartLegend`. */
  readonly named?: boolean;
  /** Units of the drawing, 640 by 260 unless said otherwise: text keeps its size, so a narrow chart is read on a phone. */
  readonly width?: number;
  readonly height?: number;
}

const standard = { width: 640, height: 260 } as const;
const left = 52;
const right = 14;
const top = 24;
const bottom = 40;
const mostPoints = 400;

/** Lines over x. Series without a finite point are left out; a chart with none says so. */
export function lineChart(series: readonly LineSeries[], options: ChartOptions): Markup {
  const { width = standard.width, height = standard.height } = options;
  const shown = series
    .map((one) => ({
      ...one,
      points: thinned(one.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))),
    }))
    .filter(({ points }) => points.length > 0);
  if (shown.length === 0) return markup`<p class="note">–</p>`;
  const xs = shown.flatMap(({ points }) => points.map(([x]) => x));
  const ys = shown.flatMap(({ points }) => points.map(([, y]) => y));
  const log = options.logY === true && Math.min(...ys) > 0;
  const scaleY = log ? Math.log10 : (y: number): number => y;
  const xTicks = ticks(Math.min(...xs), Math.max(...xs), width < 500 ? 4 : 6);
  const [low, high] = [options.fromZero === true ? Math.min(0, ...ys) : Math.min(...ys), Math.max(...ys)];
  const yTicks = log ? logTicks(low, high) : ticks(low, high, 5);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const [y0, y1] = [scaleY(Math.min(low, yTicks[0]!)), scaleY(Math.max(high, yTicks.at(-1)!))];
  const x = (value: number): number =>
    left + (x1 === x0 ? 0.5 : (value - x0) / (x1 - x0)) * (width - left - right);
  const y = (value: number): number =>
    height - bottom - (y1 === y0 ? 0.5 : (scaleY(value) - y0) / (y1 - y0)) * (height - top - bottom);
  const grid = yTicks.map(
    (value) =>
      markup`<line class="grid" x1="${left}" x2="${width - right}" y1="${fixed(y(value))}" y2="${fixed(y(value))}" /><text x="${left - 6}" y="${fixed(y(value) + 3.5)}" text-anchor="end">${tickText(value)}</text>`,
  );
  const columns = xTicks
    .filter((value) => value >= x0 && value <= x1)
    .map(
      (value) =>
        markup`<text x="${fixed(x(value))}" y="${height - bottom + 16}" text-anchor="middle">${tickText(value)}</text>`,
    );
  const mark =
    options.mark === undefined || options.mark.x < x0 || options.mark.x > x1
      ? NOTHING
      : markup`<line class="limit" x1="${fixed(x(options.mark.x))}" x2="${fixed(x(options.mark.x))}" y1="${top}" y2="${height - bottom}" /><text x="${fixed(x(options.mark.x) + (x(options.mark.x) > width - 120 ? -5 : 5))}" y="${top + 9}" text-anchor="${x(options.mark.x) > width - 120 ? "end" : "start"}">${options.mark.name}</text>`;
  const lines = shown.map(({ points, tone, dashed, dots, name }) => {
    const path = points
      .map(([px, py], i) => `${i === 0 ? "M" : "L"}${fixed(x(px))} ${fixed(y(py))}`)
      .join("");
    const circles =
      dots === true || points.length <= 30
        ? points.map(
            ([px, py]) =>
              markup`<circle class="fill${tone}" cx="${fixed(x(px))}" cy="${fixed(y(py))}" r="2.8"><title>${name}: ${tickText(px)}, ${tickText(py)}</title></circle>`,
          )
        : [];
    return markup`<path class="line${tone}${dashed === true ? " dashed" : ""}" d="${path}" />${circles}`;
  });
  const names = options.named === true ? lineNames(shown, width) : NOTHING;
  return markup`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${options.label}">${names}${grid}<line class="axis" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}" />${columns}${mark}${lines}<text x="${fixed((left + width - right) / 2)}" y="${height - 6}" text-anchor="middle">${options.xUnit}</text><text x="${left - 44}" y="10">${options.yUnit}</text></svg>`;
}

/** Samples and names in one row at the upper right; text is taken to be 7 units a letter wide. */
function lineNames(series: readonly LineSeries[], width: number): Markup {
  const sample = 22;
  const widths = series.map(({ name }) => sample + 24 + 7 * name.length);
  let from = width - right - widths.reduce((a, b) => a + b, 0);
  return markup`${series.map(({ name, tone, dashed }, i) => {
    const x = from;
    from += widths[i]!;
    return markup`<path class="line${tone}${dashed === true ? " dashed" : ""}" d="M${fixed(x)} 8L${fixed(x + sample)} 8" /><text x="${fixed(x + sample + 6)}" y="12">${name}</text>`;
  })}`;
}

export interface IntervalRow {
  readonly name: string;
  readonly score: number;
  readonly low: number;
  readonly high: number;
  readonly tone: number;
  readonly detail?: string;
}

/** One row a name: a bar up to the score and a whisker over its interval. */
export function intervalChart(
  rows: readonly IntervalRow[],
  options: { readonly label: string; readonly unit: string; readonly digits: number },
): Markup {
  if (rows.length === 0) return markup`<p class="note">–</p>`;
  const { width } = standard;
  const names = 190;
  const values = 110;
  const step = 30;
  const chartHeight = rows.length * step + 26;
  const most = Math.max(
    1e-9,
    ...rows.map(({ high, score }) => Math.max(high, score)).filter(Number.isFinite),
  );
  const x = (value: number): number =>
    names + Math.max(0, Math.min(1, value / most)) * (width - names - values);
  const bars = rows.map(({ name, score, low, high, tone, detail }, i) => {
    const y = i * step + 4;
    const middle = y + 9;
    return markup`<text class="name" x="${names - 10}" y="${middle + 4}" text-anchor="end">${cut(name, 26)}<title>${name}</title></text><rect class="soft${tone}" x="${names}" y="${y}" width="${fixed(Math.max(1, x(score) - names))}" height="18" rx="2" /><line class="whisker" x1="${fixed(x(low))}" x2="${fixed(x(high))}" y1="${middle}" y2="${middle}" /><line class="whisker" x1="${fixed(x(low))}" x2="${fixed(x(low))}" y1="${middle - 4}" y2="${middle + 4}" /><line class="whisker" x1="${fixed(x(high))}" x2="${fixed(x(high))}" y1="${middle - 4}" y2="${middle + 4}" /><text class="value" x="${width - values + 10}" y="${middle + 4}">${score.toFixed(options.digits)}${detail === undefined ? "" : ` ${detail}`}</text>`;
  });
  return markup`<svg class="chart" viewBox="0 0 ${width} ${chartHeight}" role="img" aria-label="${options.label}"><line class="axis" x1="${names}" x2="${names}" y1="0" y2="${chartHeight - 22}" />${bars}<text x="${names}" y="${chartHeight - 6}">${options.unit}</text></svg>`;
}

/** Names beside the colours of a chart. */
export function chartLegend(
  entries: readonly { readonly name: string; readonly tone: number; readonly dashed?: boolean }[],
): Markup {
  const items = entries.map(
    ({ name, tone, dashed }) =>
      markup`<li><svg class="chart" viewBox="0 0 18 10" aria-hidden="true"><path class="line${tone}${dashed === true ? " dashed" : ""}" d="M0 5L18 5" /></svg>${name}</li>`,
  );
  return markup`<ul class="legend lines">${items}</ul>`;
}

/** Six tones that stay apart in light, in dark and for colour-blind eyes (after Okabe and Ito), as custom properties. */
export const chartColours = {
  light:
    "--t0: #0060b0; --t1: #c4560a; --t2: #00795c; --t3: #a2407f; --t4: #7a6a00; --t5: #5b6470; --text: #525d6b; --rule: #dde2e9; --strong: #79838f; --alarm: #b3261e;",
  dark: "--t0: #6cb2ff; --t1: #ff9d52; --t2: #4fd1a5; --t3: #eb8fc7; --t4: #d9c74a; --t5: #a3afbd; --text: #a3afbd; --rule: #2b343f; --strong: #8996a5; --alarm: #ff9d94;",
} as const;

/** Classes of the charts; light or dark as the reader's system is. */
export const chartStyle = `
.chart { ${chartColours.light} display: block; width: 100%; height: auto; }
.chart text { fill: var(--text); font-size: 11.5px; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
.chart text.name, .chart text.value { font-size: 12.5px; } .chart .grid { stroke: var(--rule); } .chart .axis { stroke: var(--strong); }
.chart .limit { stroke: var(--alarm); stroke-width: 1.5; stroke-dasharray: 4 3; } .chart .whisker { stroke: var(--strong); stroke-width: 1.5; }
${[0, 1, 2, 3, 4, 5].map((i) => `.chart .line${i} { fill: none; stroke: var(--t${i}); stroke-width: 2; stroke-linejoin: round; } .chart .fill${i}, .chart .soft${i} { fill: var(--t${i}); } .chart .soft${i} { fill-opacity: .72; }`).join("\n")}
.chart .dashed { stroke-dasharray: 5 4; }
@media (prefers-color-scheme: dark) { .chart { ${chartColours.dark} } }
`;

/** A chart as a file of its own, readable in light and dark. */
export function standaloneSvg(chart: Markup): string {
  const opened = chart.markup.replace(/^<svg /, '<svg xmlns="http://www.w3.org/2000/svg" ');
  if (opened === chart.markup) {
    const empty =
      '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 40"><text x="10" y="24">–</text></svg>';
    return `${empty}\n`;
  }
  return `${opened.replace(">", `><style>${chartStyle.trim()}</style>`)}\n`;
}

/** Whole curves of long runs as at most 400 points: means of equal stretches. */
function thinned(points: LineSeries["points"]): LineSeries["points"] {
  if (points.length <= mostPoints) return points;
  const size = points.length / mostPoints;
  return Array.from({ length: mostPoints }, (_, i) => {
    const part = points.slice(Math.floor(i * size), Math.floor((i + 1) * size));
    const mean = (of: 0 | 1): number => part.reduce((sum, point) => sum + point[of], 0) / part.length;
    return [mean(0), mean(1)] as const;
  });
}

/** About `count` round values from at or above `low` to at or above `high`. */
function ticks(low: number, high: number, count: number): number[] {
  if (high <= low) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((nice) => nice >= raw)!;
  const from = Math.floor(low / step);
  const to = Math.ceil(high / step);
  return Array.from({ length: to - from + 1 }, (_, i) => Number(((from + i) * step).toPrecision(12)));
}

function logTicks(low: number, high: number): number[] {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  if (to - from > 1) return Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  const values = [1, 2, 5, 10, 20, 50, 100].map((k) => k * 10 ** from);
  const first = values.findLastIndex((value) => value <= low);
  const last = values.findIndex((value) => value >= high);
  return values.slice(Math.max(0, first), last + 1);
}

function tickText(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  if (size !== 0 && size < 1e-3) return Number(value.toPrecision(2)).toExponential();
  return String(Number(value.toPrecision(4)));
}

/** At most `limit` Latin letters wide; a Chinese character counts as two. */
function cut(text: string, limit: number): string {
  const width = (character: string): number =>
    /[\u2e80-\uffef]|\p{Emoji_Presentation}/u.test(character) ? 2 : 1;
  const characters = [...text];
  if (characters.reduce((sum, character) => sum + width(character), 0) <= limit) return text;
  let [kept, used] = ["", 1];
  for (const character of characters) {
    used += width(character);
    if (used > limit) break;
    kept += character;
  }
  return `${kept}…`;
}

const fixed = (value: number): string => String(Math.round(value * 100) / 100);
