/** Pages and pictures from text that may be anything: escaped markup, charts. */
export { chartColours, chartLegend, chartStyle, intervalChart, lineChart, standaloneSvg } from "./charts.ts";
export type { ChartOptions, IntervalRow, LineSeries } from "./charts.ts";
export { NOTHING, escapeHtml, markup } from "./markup.ts";
export type { Markup } from "./markup.ts";
export { pageStyle, switchedTheme, systemTheme } from "./page.ts";
