/** The report's sections on single rules: duplicates, personal data, and each rule with its examples. */
import { formatCount } from "../../../util/index.ts";
import type { Manifest, RuleSection } from "../manifest.ts";
import { bar } from "./charts.ts";
import { exampleList, humanName, placeName } from "./examples.ts";
import { type Markup, NOTHING, markup } from "./html.ts";

const SHOWN_CLUSTERS = 8;

interface Cluster {
  readonly size: number;
  readonly text: string;
  readonly kept: { readonly file: string; readonly line?: number; readonly row?: number };
}

export function duplicates(m: Manifest): Markup {
  const exact = m.rules.find((rule) => rule.name === "exact-duplicate");
  const near = m.rules.find((rule) => rule.name === "near-duplicate");
  if (exact?.enabled !== true && near?.enabled !== true) return NOTHING;
  const clusters = [exact, near].flatMap((rule) =>
    rule === undefined ? [] : clustersOf(rule).map((cluster) => ({ ...cluster, kind: humanName(rule.name) })),
  );
  clusters.sort((a, b) => b.size - a.size);
  const rows = clusters.slice(0, SHOWN_CLUSTERS).map(
    (cluster) =>
      markup`<li>
          <span class="meta"
            >${cluster.kind} · ${formatCount(cluster.size)} rows alike · the first,
            ${placeName(cluster.kept)}, is kept</span
          ><bdi class="text">${cluster.text}</bdi>
        </li>`,
  );
  const largest =
    rows.length === 0
      ? NOTHING
      : markup`<p class="note">The largest groups:</p>
          <ul class="examples">
            ${rows}
          </ul>`;
  return markup`<h2>Duplicates</h2>
    <p class="lead">
      ${formatCount(exact?.rejected ?? 0)} rows say word for word what an earlier row says,
      ${formatCount(near?.rejected ?? 0)} nearly so. The first of each group is kept.
    </p>
    ${rows.length === 0 ? NOTHING : markup`<div class="card">${largest}</div>`}`;
}

/** Details are what the rule alone knows; anything unexpected is passed over. */
function clustersOf(rule: RuleSection): Cluster[] {
  const details = rule.details as { readonly largest?: unknown } | undefined;
  if (!Array.isArray(details?.largest)) return [];
  return (details.largest as readonly Partial<Cluster>[]).flatMap(({ size, text, kept }) =>
    typeof size === "number" && typeof text === "string" && typeof kept?.file === "string"
      ? [{ size, text, kept }]
      : [],
  );
}

export function personalData(m: Manifest): Markup {
  const rule = m.rules.find((candidate) => candidate.name === "personal-data");
  if (rule?.enabled !== true) return NOTHING;
  const kinds = Object.entries(rule.reasons).sort((a, b) => b[1] - a[1]);
  if (kinds.length === 0) {
    return markup`<h2>Personal data</h2>
      <p class="fine">None was found.</p>`;
  }
  const most = kinds[0]![1];
  const bars = kinds.map(([kind, count]) =>
    bar({
      name: humanName(kind),
      parts: [{ from: 0, width: count / most, tone: "accent" }],
      value: formatCount(count),
      label: `${kind}: ${formatCount(count)}`,
    }),
  );
  return markup`<h2>Personal data</h2>
    <p class="lead">
      Found in ${formatCount(rule.changed + rule.rejected)} rows and replaced by placeholders such as
      <code>[PHONE]</code>; the same value keeps the same placeholder within a conversation.
    </p>
    <div class="card"><div class="bars">${bars}</div></div>`;
}

export function ruleSections(m: Manifest): Markup {
  if (m.rules.length === 0) return NOTHING;
  const active = m.rules.filter((rule) => rule.enabled && touched(rule));
  const quiet = m.rules.filter((rule) => rule.enabled && !touched(rule));
  const off = m.rules.filter((rule) => !rule.enabled);
  const list = (title: string, rules: readonly RuleSection[]): Markup =>
    rules.length === 0
      ? NOTHING
      : markup`<p class="note">${title}: ${rules.map((rule) => humanName(rule.name)).join(", ")}.</p>`;
  return markup`<h2>Rules, with examples</h2>
    <p class="lead">What each rule found, and up to five examples with the matched part marked.</p>
    ${active.map(ruleCard)}${list("Found nothing", quiet)}${list("Switched off", off)}`;
}

function touched(rule: RuleSection): boolean {
  return rule.rejected + rule.changed + rule.flagged + rule.unsupervised > 0;
}

function ruleCard(rule: RuleSection): Markup {
  const chip = (count: number, text: string): Markup =>
    count === 0 ? NOTHING : markup`<li><b>${formatCount(count)}</b> ${text}</li>`;
  const reasons = Object.entries(rule.reasons)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 8)
    .map(([reason, count]) => markup`<li>${humanName(reason)} <b>${formatCount(count)}</b></li>`);
  return markup`<section class="card rule">
    <h3>${humanName(rule.name)}</h3>
    <p>${rule.summary}</p>
    <ul class="chips">
      ${[
        chip(rule.rejected, "rows rejected"),
        chip(rule.changed, "rows changed"),
        chip(rule.flagged, "rows flagged"),
        chip(rule.unsupervised, "replies kept as history only"),
      ]}
    </ul>
    ${
      reasons.length > 1
        ? markup`<ul class="chips">
            ${reasons}
          </ul>`
        : NOTHING
    }${exampleList(rule.examples)}
  </section>`;
}
