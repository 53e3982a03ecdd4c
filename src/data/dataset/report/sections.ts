/** The report's sections, in the order a reader asks: what came out, what to look at, what went where, and why. */
import { formatBytes, formatCount, formatPercent } from "../../../util/index.ts";
import type { Manifest } from "../manifest.ts";
import { bar, histogramChart, legend, percent } from "./charts.ts";
import { humanName } from "./examples.ts";
import { type Markup, NOTHING, markup } from "./html.ts";

const SHOWN_INTENTS = 12;

export function summary(m: Manifest): Markup {
  const { train, validation, test } = m.splits;
  const leaks = m.leaks.dialogueId + m.leaks.conversation + m.leaks.nearDuplicate;
  const within = m.maxIntentShare <= m.shape.balance.maxShare + 1e-6;
  const tile = (value: string, text: string, tone = ""): Markup =>
    markup`<li class="tile ${tone}"><b>${value}</b><span>${text}</span></li>`;
  return markup`<ul class="tiles">
    ${[
      tile(formatCount(m.rows.read), "rows read"),
      tile(formatCount(m.rows.kept), `rows kept (${percent(m.rows.kept, m.rows.read)})`),
      tile(formatCount(train.examples), "training examples"),
      tile(formatCount(validation.examples + test.examples), "held out to measure"),
      tile(formatPercent(m.maxIntentShare, 1), "share of the largest intent", within ? "good" : "warn"),
      tile(formatCount(leaks), "leaks between splits", leaks === 0 ? "good" : "bad"),
    ]}
  </ul>`;
}

export function warnings(m: Manifest): Markup {
  if (m.warnings.length === 0) {
    return markup`<h2>What to look at</h2>
      <p class="fine">Nothing stands out: sizes, balance and splits are as asked for.</p>`;
  }
  const items = m.warnings.map(
    ({ text, advice }) => markup`<li><strong>${text}</strong><span>${advice}</span></li>`,
  );
  return markup`<h2>What to look at</h2>
    <ul class="warnings">
      ${items}
    </ul>`;
}

/** From raw to kept: one bar a step, what is left in blue, what the step took in red. */
export function waterfall(m: Manifest): Markup {
  const { read, kept } = m.rows;
  const whole = Math.max(1, read);
  let left = read;
  const steps = inOrder(m).map(([rule, count]) => {
    left -= count;
    return bar({
      name: humanName(rule),
      parts: [
        { from: 0, width: left / whole, tone: "soft" },
        { from: left / whole, width: count / whole, tone: "bad" },
      ],
      value: `−${formatCount(count)}`,
      detail: percent(count, read),
      label: `${rule} removed ${formatCount(count)} rows; ${formatCount(left)} are left`,
    });
  });
  const end = (name: string, count: number): Markup =>
    bar({
      name,
      parts: [{ from: 0, width: count / whole, tone: "accent" }],
      value: formatCount(count),
      total: true,
      label: `${name}: ${formatCount(count)}`,
    });
  const unsupervised = m.rules.reduce((sum, rule) => sum + rule.unsupervised, 0);
  const history =
    unsupervised === 0
      ? NOTHING
      : markup`<p class="note">
          ${formatCount(unsupervised)} replies inside kept rows stay as history only: they are read by the
          model but not learned (too short, too long or too frequent).
        </p>`;
  return markup`<h2>From raw to kept</h2>
    <p class="lead">
      Every row that came in is accounted for: ${formatCount(read)} read = ${formatCount(kept)} kept +
      ${formatCount(m.rows.rejected)} rejected. Each rejected row stands in <code>rejected.jsonl</code> with
      its place and reason.
    </p>
    <div class="card">
      <div class="bars">${[end("Rows read", read), ...steps, end("Rows kept", kept)]}</div>
      ${legend([
        { tone: "soft", text: "left after the step" },
        { tone: "bad", text: "removed by the step" },
      ])}${history}
    </div>`;
}

/** What is left out of splits that were clean comes last. */
const LAST = ["source-mix", "intent-balance", "cross-split-duplicate"];

/** Rejected rows in the order of the steps: broken rows first, then the rules as they run, then shaping. */
function inOrder(m: Manifest): [rule: string, count: number][] {
  const rank = (rule: string): number => {
    const last = LAST.indexOf(rule);
    return last >= 0 ? m.rules.length + last : m.rules.findIndex(({ name }) => name === rule);
  };
  return Object.entries(m.rejected).sort(([a], [b]) => rank(a) - rank(b));
}

export function intents(m: Manifest): Markup {
  const { balance, weights } = m.shape;
  const before = m.shape.intentsBefore;
  const after = m.splits.train.intents;
  const totalBefore = sum(before);
  const totalAfter = sum(after);
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const shareAfter = (name: string): number => weightedShare(name, after, weights, totalAfter);
  const rows = names.map((name) => ({
    name,
    from: (before[name] ?? 0) / Math.max(1, totalBefore),
    to: shareAfter(name),
  }));
  rows.sort((a, b) => Math.max(b.from, b.to) - Math.max(a.from, a.to) || (a.name < b.name ? -1 : 1));
  const most = Math.max(balance.maxShare, rows[0]?.from ?? 0, rows[0]?.to ?? 0) * 1.05;
  const bars = rows.slice(0, SHOWN_INTENTS).map(({ name, from, to }) =>
    bar({
      name,
      parts: [
        { from: 0, width: from / most, tone: "ghost", half: "upper" },
        { from: 0, width: to / most, tone: to > balance.maxShare + 1e-6 ? "bad" : "accent", half: "lower" },
      ],
      limit: balance.maxShare / most,
      value: formatPercent(to, 1),
      ...(formatPercent(from, 1) === formatPercent(to, 1) ? {} : { detail: `was ${formatPercent(from, 1)}` }),
      label: `${name}: ${formatPercent(from, 1)} before, ${formatPercent(to, 1)} after`,
    }),
  );
  const others = rows.slice(SHOWN_INTENTS);
  const table = others.map(
    ({ name }) =>
      markup`<tr>
        <td><bdi>${name}</bdi></td>
        <td class="n">${formatCount(before[name] ?? 0)}</td>
        <td class="n">${formatCount(after[name] ?? 0)}</td>
        <td class="n">${formatPercent(shareAfter(name), 2)}</td>
      </tr>`,
  );
  const rest =
    others.length === 0
      ? NOTHING
      : markup`<details>
          <summary>${formatCount(others.length)} rarer intents</summary>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th>Intent</th>
                  <th class="n">Before</th>
                  <th class="n">After</th>
                  <th class="n">Share</th>
                </tr>
              </thead>
              <tbody>
                ${table}
              </tbody>
            </table>
          </div>
        </details>`;
  const how =
    balance.method === "weight"
      ? "Loss weights balance them: every example stays, frequent intents count less."
      : balance.dropped > 0
        ? `${formatCount(balance.dropped)} examples of frequent intents were left out, spread over their conversations.`
        : "Nothing had to be left out.";
  return markup`<h2>Intents</h2>
    <p class="lead">
      No intent should have more than ${formatPercent(balance.maxShare, 0)} of the training examples, or the
      model answers everything alike. ${how}
    </p>
    <div class="card">
      <div class="bars">${bars}</div>
      ${legend([
        { tone: "ghost", text: "before balancing" },
        { tone: "accent", text: weights === undefined ? "after" : "after, by loss weight" },
        { tone: "limit", text: `limit ${formatPercent(balance.maxShare, 0)}` },
      ])}${rest}
    </div>`;
}

function weightedShare(
  name: string,
  counts: Readonly<Record<string, number>>,
  weights: Readonly<Record<string, number>> | undefined,
  total: number,
): number {
  if (weights === undefined) return (counts[name] ?? 0) / Math.max(1, total);
  const weightOf = (intent: string): number => weights[intent] ?? 1;
  const whole = Object.entries(counts).reduce((acc, [intent, count]) => acc + count * weightOf(intent), 0);
  return ((counts[name] ?? 0) * weightOf(name)) / Math.max(1e-9, whole);
}

export function splits(m: Manifest): Markup {
  const { split } = m.shape;
  const all = m.splits.train.replies + m.splits.validation.replies + m.splits.test.replies;
  const rows = (["train", "validation", "test"] as const).map((name) => {
    const part = m.splits[name];
    return markup`<tr>
      <td>${humanName(name)}</td>
      <td class="n">${formatCount(part.examples)}</td>
      <td class="n">${formatCount(part.conversations)}</td>
      <td class="n">${formatCount(part.replies)}</td>
      <td class="n">${percent(part.replies, all)}</td>
      <td class="n">${formatCount(Object.keys(part.intents).length)}</td>
      <td class="n">${formatBytes(part.bytes)}</td>
    </tr>`;
  });
  const { leaks } = m;
  const moved =
    split.nearDuplicatesMoved === 0
      ? ""
      : ` ${formatCount(split.nearDuplicatesMoved)} conversations were moved to train because they are nearly the same as one there.`;
  return markup`<h2>Train, validation, test</h2>
    <p class="lead">
      Whole conversations are dealt, so that each split has its share of every intent (mean deviation
      ${formatPercent(split.stratificationError, 1)}).${moved}
    </p>
    <div class="card">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Split</th>
              <th class="n">Examples</th>
              <th class="n">Conversations</th>
              <th class="n">Replies</th>
              <th class="n">Share of replies</th>
              <th class="n">Intents</th>
              <th class="n">Size</th>
            </tr>
          </thead>
          <tbody>
            ${rows}
          </tbody>
        </table>
      </div>
      <p class="note">
        Leak check on the files: ${formatCount(leaks.dialogueId)} shared conversation ids,
        ${formatCount(leaks.conversation)} identical conversations, ${formatCount(leaks.nearDuplicate)}
        near-duplicates (Jaccard ≥ ${leaks.threshold}). ${formatPercent(leaks.sharedReplies, 1)} of the
        held-out replies stand word for word in train, as is usual for customer service.
      </p>
    </div>`;
}

export function lengths(m: Manifest): Markup {
  const { replyWordsBefore, replyWordsAfter, turnsBefore, turnsAfter, tokens } = m.lengths;
  const { long } = m.shape;
  const words = markup`<div class="card">
    <h3>Words of a reply</h3>
    <p class="note">Before cleaning, and the replies that are learned now.</p>
    ${histogramChart({ back: replyWordsBefore, front: replyWordsAfter, unit: "words", label: "Histogram of words a reply, before and after" })}${legend(
      [
        { tone: "ghost", text: "before" },
        { tone: "accent", text: "learned" },
      ],
    )}
  </div>`;
  const raised =
    long.added > 0
      ? ` Repeating ${formatCount(long.added)} examples raised it from ${formatPercent(long.shareBefore, 1)}.`
      : "";
  const turns = markup`<div class="card">
    <h3>Turns of an example</h3>
    <p class="note">
      A turn is what the customer wrote with its answer. ${formatPercent(long.shareAfter, 1)} of train has
      more than ${long.overTurns}.${raised}
    </p>
    ${histogramChart({ back: turnsBefore, front: turnsAfter, unit: "turns", label: "Histogram of turns an example, before and after", inside: (from) => from > long.overTurns })}${legend(
      [
        { tone: "ghost", text: "before" },
        { tone: "soft", text: `kept, up to ${long.overTurns}` },
        { tone: "accent", text: `kept, over ${long.overTurns}` },
      ],
    )}
  </div>`;
  const counted =
    tokens === undefined
      ? NOTHING
      : markup`<div class="card">
          <h3>Tokens of an example</h3>
          <p class="note">
            Counted by the tokenizer of ${tokens.model}; the longest has
            ${formatCount(tokens.longest)}.${
              tokens.limit === undefined
                ? ""
                : ` ${formatCount(tokens.overLimit)} ${tokens.overLimit === 1 ? "example exceeds" : "examples exceed"} its limit of ${formatCount(tokens.limit)}.`
            }
          </p>
          ${histogramChart({ front: tokens.histogram, unit: "tokens", label: "Histogram of tokens an example", ...(tokens.limit === undefined ? {} : { limit: tokens.limit }) })}${
            tokens.limit === undefined
              ? NOTHING
              : legend([{ tone: "limit", text: `limit ${formatCount(tokens.limit)}` }])
          }
        </div>`;
  return markup`<h2>Lengths</h2>
    <div class="pair">${[words, turns, counted]}</div>`;
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

export function sources(m: Manifest): Markup {
  const rows = m.sources.map((source) => {
    const notes = source.skipped === undefined ? source.notes.join(" ") : `Skipped: ${source.skipped}`;
    return markup`<tr>
      <td>
        <bdi>${source.name}</bdi>${notes === "" ? NOTHING : markup`<br /><span class="off">${notes}</span>`}
      </td>
      <td>${source.layout ?? "–"}<br /><span class="off">${source.evidence ?? ""}</span></td>
      <td class="n">${formatCount(source.rowsRead)}</td>
      <td class="n">${formatCount(source.rowsRejected)}</td>
      <td><code>${source.sha256?.slice(0, 12) ?? "–"}</code></td>
    </tr>`;
  });
  return markup`<h2>Sources</h2>
    <div class="card">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>File</th>
              <th>Layout and what told it</th>
              <th class="n">Rows</th>
              <th class="n">Broken</th>
              <th>SHA-256</th>
            </tr>
          </thead>
          <tbody>
            ${rows}
          </tbody>
        </table>
      </div>
    </div>`;
}
