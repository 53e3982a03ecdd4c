/** The whole report as one HTML file: no script, no request, nothing but what dataset.json holds. */
import { formatCount } from "../../../util/index.ts";
import type { Manifest } from "../manifest.ts";
import { markup } from "./html.ts";
import { duplicates, personalData, ruleSections } from "./rules.ts";
import { intents, lengths, sources, splits, summary, warnings, waterfall } from "./sections.ts";
import { STYLE } from "./style.ts";

/** The policy forbids scripts and requests outright: what the data holds cannot run even if an escape were missed. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

export function renderReport(m: Manifest): string {
  const { train, validation, test } = m.splits;
  const sourceCount = m.sources.filter((source) => source.skipped === undefined).length;
  const body = markup`<main>
    <header>
      <h1>Data set report</h1>
      <p class="lead">
        ${formatCount(train.replies + validation.replies + test.replies)} replies to learn from and to measure
        by, out of ${formatCount(m.rows.read)} rows from ${formatCount(sourceCount)}
        ${sourceCount === 1 ? "source" : "sources"}.
      </p>
    </header>
    ${summary(m)} ${warnings(m)} ${waterfall(m)} ${intents(m)} ${splits(m)} ${lengths(m)} ${duplicates(m)}
    ${personalData(m)} ${ruleSections(m)} ${sources(m)}
    <footer>
      <p>
        Made by ${m.madeBy} with seed ${m.seed}. Every figure stands in <code>dataset.json</code>;
        <code>attune data check</code> proves the splits again.
      </p>
    </footer>
  </main>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Data set report</title>
<style>${STYLE}</style>
</head>
<body>
${body.markup}
</body>
</html>
`;
}
