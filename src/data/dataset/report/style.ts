/** The report's style sheet: what every page has, and what only this one shows. */
import { pageStyle, systemTheme } from "../../../util/html/index.ts";

export const STYLE = `${systemTheme}${pageStyle}
.bar.total .name, .bar.total .value { font-weight: 600; }
.f-accent { fill: var(--accent); } .f-soft { fill: var(--accent-soft); } .f-ghost { fill: var(--ghost); } .f-bad { fill: var(--bad); } .f-sunk { fill: var(--sunk); } .f-good { fill: var(--good); }
.s-limit { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 4 3; vector-effect: non-scaling-stroke; }
.legend svg { width: 0.8rem; height: 0.8rem; vertical-align: -0.08rem; margin-right: 0.4rem; overflow: visible; }
.chart { display: block; width: 100%; height: auto; margin-top: 0.75rem; }
.chart text { fill: var(--soft); font-size: 10.5px; font-family: inherit; }
.chart .axis { stroke: var(--line-strong); stroke-width: 1; } .chart .grid { stroke: var(--line); stroke-width: 1; }
.rule { display: grid; gap: 0.1rem; } .rule > p { margin: 0.2rem 0 0; }
.examples { list-style: none; margin: 0.7rem 0 0; padding: 0; display: grid; gap: 0.5rem; }
.examples li { background: var(--sunk); border-radius: 8px; padding: 0.6rem 0.85rem; font-size: var(--step-1); }
.examples .meta { color: var(--soft); font-size: var(--step-2); display: block; margin-bottom: 0.15rem; }
.examples .text { white-space: pre-wrap; }
mark { background: var(--mark); color: var(--mark-ink); border-radius: 3px; padding: 0.05em 0.15em; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
@media (max-width: 40rem) { .chart text { font-size: 12.5px; } }
@media print { .examples li { break-inside: avoid; } details > summary { display: none; } }
`;
