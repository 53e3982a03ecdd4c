/** What the pages share: colours that pass WCAG AA in light and dark, a type scale of 1.2, cards, tables, paper in print. */
import { chartColours } from "./charts.ts";

const light = `--paper: #ffffff; --card: #ffffff; --sunk: #f3f5f8; --line: #dde2e9; --line-strong: #b9c2ce;
  --ink: #161b22; --soft: #525d6b; --accent: #1f5fd0; --accent-soft: #a9c4f5; --ghost: #c3ccd8;
  --good: #0b7a4b; --good-soft: #e2f4ea; --warn: #8a5200; --warn-soft: #fdf1dc; --bad: #b3261e; --bad-soft: #fbe6e4;
  --mark: #ffe28a; --mark-ink: #33260a;`;
const dark = `--paper: #0f1318; --card: #161b22; --sunk: #1d242d; --line: #2b343f; --line-strong: #46525f;
  --ink: #e9edf2; --soft: #a3afbd; --accent: #7fa9ff; --accent-soft: #3a5a94; --ghost: #4a5664;
  --good: #5fd39b; --good-soft: #14301f; --warn: #f0b95c; --warn-soft: #33270f; --bad: #ff9d94; --bad-soft: #3a1a18;
  --mark: #6b5410; --mark-ink: #fff3cf;`;
const paper = `--paper: #fff; --card: #fff; --sunk: #f3f5f8; --line: #d5dbe3; --line-strong: #9aa5b3; --ink: #000;
  --soft: #444d58; --good-soft: #eef8f2; --warn-soft: #fdf6e8; --mark-ink: #000;`;

/** A page that is light or dark as the reader's system is. */
export const systemTheme = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
@media print { :root { color-scheme: light; ${light} ${paper} } .chart { ${chartColours.light} } }
`;

/**
 * A page with radio buttons #theme-light and #theme-dark that overrule the reader's system. No script: the page's state
 * is what is checked.
 */
export const switchedTheme = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) {
  :root:not(:has(#theme-light:checked)) { ${dark} }
  :root:has(#theme-light:checked) .chart { ${chartColours.light} }
}
:root:has(#theme-light:checked) { color-scheme: light; }
:root:has(#theme-dark:checked) { color-scheme: dark; ${dark} }
:root:has(#theme-dark:checked) .chart { ${chartColours.dark} }
@media print {
  :root, :root:has(#theme-dark:checked), :root:not(:has(#theme-light:checked)) { color-scheme: light; ${light} ${paper} }
  :root .chart, :root:has(#theme-dark:checked) .chart { ${chartColours.light} }
}
`;

/** Elements and the classes that every page uses. */
export const pageStyle = `
:root { --step-2: 0.75rem; --step-1: 0.8125rem; --step0: 0.9375rem; --step1: 1.125rem; --step2: 1.375rem; --step3: 2rem; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 400 var(--step0)/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: var(--step3); line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 0.4rem; }
h2 { font-size: var(--step2); line-height: 1.25; letter-spacing: -0.01em; margin: 3rem 0 0.35rem; }
h3 { font-size: var(--step1); line-height: 1.3; margin: 0; }
p { margin: 0 0 0.75rem; }
.lead { color: var(--soft); max-width: 46rem; text-wrap: pretty; }
.note { color: var(--soft); font-size: var(--step-1); }
a { color: var(--accent); }
code { font: 0.92em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono", monospace; background: var(--sunk); padding: 0.1em 0.35em; border-radius: 4px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.75rem; margin: 1.75rem 0 0; padding: 0; list-style: none; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 0.85rem 1rem 0.9rem; }
.tile b { display: block; font-size: var(--step2); line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; }
.tile span { color: var(--soft); font-size: var(--step-1); }
.tile.good b { color: var(--good); } .tile.bad b { color: var(--bad); } .tile.warn b { color: var(--warn); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem 1.25rem; margin-top: 1rem; }
.card > :first-child { margin-top: 0; } .card > :last-child { margin-bottom: 0; } .legend + .note { margin-top: 0.6rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; margin-top: 1rem; }
.pair .card { margin: 0; }
.warnings { list-style: none; margin: 1rem 0 0; padding: 0; display: grid; gap: 0.6rem; }
.warnings li { background: var(--warn-soft); border-left: 4px solid var(--warn); border-radius: 6px; padding: 0.65rem 0.9rem; }
.warnings strong { font-weight: 600; } .warnings span { display: block; color: var(--soft); }
.fine { background: var(--good-soft); border-left: 4px solid var(--good); border-radius: 6px; padding: 0.65rem 0.9rem; margin-top: 1rem; }
.bars { display: grid; gap: 0.5rem; margin: 1rem 0 0; }
.bar { display: grid; grid-template-columns: minmax(8rem, 15rem) 1fr 9rem; gap: 0.25rem 0.9rem; align-items: center; }
.bar .name { line-height: 1.3; } .bar .value { text-align: right; white-space: nowrap; } .bar .value small { color: var(--soft); font-size: var(--step-1); }
.bar svg { display: block; width: 100%; height: 1.15rem; overflow: visible; }
.legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; color: var(--soft); font-size: var(--step-1); margin: 0.6rem 0 0; padding: 0; list-style: none; }
.scroll { overflow-x: auto; margin-top: 0.75rem; }
table { border-collapse: collapse; width: 100%; font-size: var(--step-1); }
th, td { text-align: left; padding: 0.45rem 0.9rem 0.45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; } tr:last-child td { border-bottom: 0; }
td:last-child, th:last-child { padding-right: 0; } td { min-width: 5rem; }
details { margin-top: 0.75rem; } summary { cursor: pointer; color: var(--accent); font-size: var(--step-1); width: fit-content; }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.chips { display: flex; flex-wrap: wrap; gap: 0.4rem; margin: 0.55rem 0 0; padding: 0; list-style: none; }
.chips li { background: var(--sunk); border-radius: 999px; padding: 0.12rem 0.7rem; font-size: var(--step-1); color: var(--soft); }
.chips b { color: var(--ink); font-weight: 600; }
.off { color: var(--soft); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: var(--step-1); }
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 3rem; }
  :root { --step3: 1.625rem; --step2: 1.25rem; }
  .bar { grid-template-columns: 1fr auto; } .bar svg { grid-column: 1 / -1; grid-row: 2; }
  .card { padding: 0.9rem 1rem 1rem; } h2 { margin-top: 2.25rem; }
}
@media print {
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  body { font-size: 10pt; } .tiles { grid-template-columns: repeat(3, 1fr); } main { max-width: none; padding: 0; }
  .card, .tile, .bar, .warnings li, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
`;
