/** The report's style sheet: what every page has, the two switches, and what only this one shows. */
import { chartStyle, pageStyle, switchedTheme } from "../../util/html/index.ts";

/** No script: a language is shown because its radio button is checked. English where `:has` is not known. */
const languages = `
body [lang="zh"] { display: none; }
body:has(#lang-zh:checked) [lang="zh"] { display: revert; }
body:has(#lang-zh:checked) [lang="en"] { display: none; }
`;

const tones = [0, 1, 2, 3, 4, 5]
  .map(
    (i) =>
      `.scores .fill-${i} { fill: var(--t${i}); fill-opacity: .38; } .scores .ends-${i} { stroke: var(--t${i}); stroke-width: 2; vector-effect: non-scaling-stroke; }`,
  )
  .join("\n");

export const reportStyle = `${switchedTheme}${pageStyle}${chartStyle}${languages}
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
.top { display: flex; flex-wrap: wrap; gap: 0.6rem 1rem; align-items: center; justify-content: space-between; padding: 0.7rem 1.25rem; border-bottom: 1px solid var(--line); }
.brand { font-weight: 650; letter-spacing: -0.01em; display: flex; align-items: center; gap: 0.55rem; }
.brand svg { width: 1.15rem; height: 1.15rem; }
.switches { display: flex; flex-wrap: wrap; gap: 0.6rem; }
.switch { border: 1px solid var(--line); border-radius: 999px; padding: 2px; margin: 0; display: flex; background: var(--sunk); min-width: 0; }
.switch legend, .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; padding: 0; margin: 0; }
.switch input { position: absolute; opacity: 0; width: 1px; height: 1px; margin: 0; }
.switch label { padding: 0.18rem 0.75rem; border-radius: 999px; font-size: var(--step-1); color: var(--soft); cursor: pointer; white-space: nowrap; }
.switch input:checked + label { background: var(--card); color: var(--ink); box-shadow: 0 0 0 1px var(--line); font-weight: 600; }
.switch input:focus-visible + label { outline: 2px solid var(--accent); outline-offset: 1px; }
.layout { max-width: 78rem; margin: 0 auto; }
.layout main { max-width: 62rem; padding-top: 2rem; }
.toc { padding: 1.25rem 1.25rem 0; font-size: var(--step-1); }
.toc ol { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.3rem 0.9rem; }
.toc a { color: var(--soft); text-decoration: none; } .toc a:hover { color: var(--accent); text-decoration: underline; }
@media (min-width: 72rem) {
  .layout { display: grid; grid-template-columns: 12.5rem minmax(0, 1fr); }
  .toc { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding-top: 2.5rem; }
  .toc ol { display: grid; gap: 0.15rem; } .toc a { display: block; padding: 0.22rem 0.6rem; border-left: 2px solid var(--line); } .toc a:hover { border-color: var(--accent); text-decoration: none; }
}
.eyebrow { color: var(--soft); font-size: var(--step-1); margin: 0 0 0.35rem; }
h1 { overflow-wrap: anywhere; } h4 { font-size: var(--step-1); font-weight: 600; margin: 0 0 0.3rem; } h4 small, .name small { font-weight: 400; color: var(--soft); }
section > h2 { border-top: 1px solid var(--line); padding-top: 1.6rem; } #summary > h2 { border: 0; padding: 0; margin-top: 0; }
.between { margin-top: 2rem; }
small { font-size: var(--step-2); color: var(--soft); } small.good, b.good { color: var(--good); } small.bad, b.bad { color: var(--bad); } small.warn { color: var(--warn); }
b.off { color: inherit; font-weight: 600; }
.verdict { border: 1px solid var(--line); border-left: 5px solid var(--line-strong); border-radius: 10px; background: var(--sunk); padding: 1.1rem 1.3rem; margin: 1.25rem 0 0; }
.verdict p { margin: 0.35rem 0 0; max-width: 46rem; text-wrap: pretty; } .verdict .said { font-size: var(--step2); line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; margin: 0; }
.verdict.good { border-left-color: var(--good); background: var(--good-soft); } .verdict.good .said { color: var(--good); }
.verdict.warn { border-left-color: var(--warn); background: var(--warn-soft); } .verdict.warn .said { color: var(--warn); }
.verdict.bad { border-left-color: var(--bad); background: var(--bad-soft); } .verdict.bad .said { color: var(--bad); }
#summary .tiles { margin-top: 1rem; }
.tile b { overflow-wrap: break-word; } .tile { min-width: 0; }
.answers { display: grid; grid-template-columns: 10.5rem minmax(0, 1fr); margin: 1.25rem 0 0; border-top: 1px solid var(--line); }
.answers dt, .answers dd { padding: 0.7rem 0; margin: 0; border-bottom: 1px solid var(--line); } .answers dt { font-weight: 600; padding-right: 1rem; } .answers dt a { text-decoration: none; color: var(--ink); } .answers dt a:hover { color: var(--accent); }
.plain { margin: 0; padding: 0; list-style: none; display: grid; gap: 0.15rem; } .plain a { color: inherit; text-decoration-color: var(--line-strong); text-underline-offset: 3px; } .plain a:hover { color: var(--accent); }
.missing { border: 1px dashed var(--line-strong); border-radius: 10px; padding: 1rem 1.2rem; margin-top: 1rem; background: var(--sunk); } .missing p { margin: 0 0 0.35rem; } .missing p:last-child { margin: 0; } .missing code { background: var(--card); }
.made { color: var(--soft); font-size: var(--step-1); margin: 0.9rem 0 0; } .made code { white-space: pre-wrap; word-break: break-word; }
.scores { height: 1.15rem; } .scores .track { fill: var(--sunk); } .scores rect { rx: 2px; }
${tones}
.f-accent { fill: var(--accent); fill-opacity: .55; } .f-bad { fill: var(--bad); fill-opacity: .5; }
.bar { grid-template-columns: minmax(7rem, 11rem) minmax(3rem, 1fr) auto; } .bar .value { min-width: 8.6rem; font-size: var(--step-1); } .bar .name { font-size: var(--step-1); }
.pair .bar { grid-template-columns: 1fr auto; gap: 0.1rem 0.6rem; } .pair .bar svg { grid-column: 1 / -1; grid-row: 2; height: 0.85rem; } .pair .bar .value { min-width: 0; }
.groups { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.1rem 2rem; margin-top: 0.9rem; }
.group .bars { margin: 0; gap: 0.25rem; } .group .bar { grid-template-columns: 7.5rem minmax(2rem, 1fr) auto; gap: 0.25rem 0.6rem; } .group .bar .value { min-width: 6.6rem; } .group .bar svg { height: 0.85rem; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
tbody th { color: var(--ink); font-weight: 500; } tbody tr:last-child th { border-bottom: 0; } td.n small { white-space: nowrap; }
.terms { display: grid; grid-template-columns: minmax(6rem, 11rem) minmax(0, 1fr); gap: 0.45rem 1rem; margin: 0.8rem 0 0; } .terms dt { color: var(--soft); font-size: var(--step-1); padding-top: 0.1rem; } .terms dd { margin: 0; white-space: pre-line; }
.card .note { margin: 0.25rem 0 0; } .chart { margin-top: 0.6rem; } .narrow { display: none; }
.legend .chart { width: 1.1rem; display: inline-block; vertical-align: middle; margin: 0 0.45rem 0 0; }
.finding { border-left: 5px solid var(--line-strong); } .finding.high { border-left-color: var(--bad); } .finding.medium { border-left-color: var(--warn); }
.finding h3 { margin-bottom: 0.2rem; } .split { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem 1.5rem; align-items: start; } .picture { width: 100%; height: auto; margin-top: 0.75rem; }
.remedy { background: var(--sunk); border-radius: 8px; padding: 0.75rem 0.95rem; margin-top: 1rem; } .remedy p { margin: 0; } .remedy .sets, .remedy .made { margin-top: 0.4rem; } .remedy code { background: var(--card); }
.quiet h3 { font-size: var(--step0); color: var(--soft); }
.probes { list-style: none; margin: 0.7rem 0 0; padding: 0; display: grid; gap: 0.6rem; } .probes li { background: var(--sunk); border-radius: 8px; padding: 0.7rem 0.95rem; font-size: var(--step-1); } .probes p { margin: 0; } .probes .asked { font-weight: 600; white-space: pre-line; } .probes .terms { gap: 0.2rem 0.8rem; grid-template-columns: 5rem minmax(0, 1fr); margin-top: 0.35rem; }
.dialogue .head { display: flex; flex-wrap: wrap; gap: 0.4rem 0.7rem; align-items: center; } .dialogue .chips { margin: 0; } .dialogue .id { margin-left: auto; font-size: var(--step-2); }
.number { width: 1.7rem; height: 1.7rem; border-radius: 50%; display: grid; place-items: center; background: var(--ink); color: var(--paper); font-size: var(--step-1); font-weight: 650; flex: none; }
.turns { list-style: none; margin: 0.9rem 0 0; padding: 0; display: grid; gap: 0.45rem; } .turn { max-width: min(86%, 40rem); justify-self: start; } .turn.shop { justify-self: end; text-align: right; } .turn small { display: block; }
.turn p { margin: 0.1rem 0 0; display: inline-block; text-align: left; background: var(--sunk); border-radius: 12px 12px 12px 3px; padding: 0.4rem 0.8rem; white-space: pre-line; } .turn.shop p { border-radius: 12px 12px 3px 12px; background: none; border: 1px solid var(--line); } .turn.other { justify-self: center; color: var(--soft); }
.replies { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); gap: 0.75rem; margin-top: 1rem; } .reply { border: 1px solid var(--line); border-top: 3px solid var(--line-strong); border-radius: 8px; padding: 0.6rem 0.85rem 0.75rem; min-width: 0; } .reply.own { border-top-color: var(--accent); } .reply.reference { border-top-color: var(--good); } .reply p { margin: 0; white-space: pre-line; } .reply h4 { color: var(--soft); }
.steps { margin: 1rem 0 0; padding: 0; list-style: none; counter-reset: step; display: grid; gap: 0.55rem; } .steps li { display: grid; grid-template-columns: 1fr; gap: 0.15rem; } .steps code { display: block; padding: 0.5rem 0.75rem; white-space: pre-wrap; }
@media (max-width: 40rem) {
  .narrow { display: block; } .wide { display: none; }
  .answers { grid-template-columns: minmax(0, 1fr); } .answers dt { border: 0; padding-bottom: 0; } .answers dd { padding-top: 0.15rem; }
  .terms { grid-template-columns: minmax(0, 1fr); gap: 0.1rem; } .terms dd { margin-bottom: 0.5rem; } .probes .terms { grid-template-columns: minmax(0, 1fr); }
  .bar, .group .bar { grid-template-columns: 1fr auto; gap: 0.1rem 0.6rem; } .bar .value, .group .bar .value { min-width: 0; } .group .bar svg { height: 0.8rem; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); } .tile b { font-size: var(--step1); }
  .dialogue .id { margin-left: 0; } .turn { max-width: 94%; }
}
@media print {
  .top, .toc { display: none; } .layout { display: block; max-width: none; } .layout main { max-width: none; padding: 0; }
  section > h2 { break-before: auto; } .reply, .verdict, .remedy, .missing, .answers > *, .probes li, .group { break-inside: avoid; } .dialogue { break-inside: avoid-page; }
  .finding, .dialogue { break-inside: auto; } .tile b { font-size: 13pt; } a { color: inherit; text-decoration: none; }
  details::details-content { content-visibility: visible; block-size: auto; } .scroll { overflow: visible; }
}
`;
