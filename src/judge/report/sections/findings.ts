/** What is wrong and what to change: each finding of the diagnosis with its evidence, its examples and its remedy. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatCount } from "../../../util/index.ts";
import { diagnoseCommand, remedyCommand } from "../commands.ts";
import { type Section, missingNote, moreDetails, table } from "../parts.ts";
import { phrase } from "../phrases.ts";
import type { FoundFindings, ReportFacts } from "../types.ts";
import { both, bothOf, code, figure, given, share } from "../words.ts";

type Finding = FoundFindings["findings"][number];

export function findingsSection(facts: ReportFacts): Section {
  const { findings } = facts;
  const command = diagnoseCommand(facts);
  const found = findings.found;
  return {
    id: "findings",
    title: { en: "What is wrong, and what to change", zh: "问题与改进" },
    ...(found === undefined
      ? {}
      : {
          lead: both(
            `${found.lookedFor.length} detectors looked at the run and at ${formatCount(found.judged)} judged replies; ${found.findings.length === 0 ? "none found anything" : `${found.findings.length} found something`}.`,
            `${found.lookedFor.length} 个检测器检查了本次训练和 ${formatCount(found.judged)} 条已评回复；${found.findings.length === 0 ? "均未发现问题" : `${found.findings.length} 个发现了问题`}。`,
          ),
        }),
    body:
      found === undefined
        ? missingNote(findings.missing, command)
        : markup`${found.findings.length === 0 ? markup`<p class="fine">${both("Nothing stands out.", "没有发现明显问题。")}</p>` : found.findings.map((one) => findingCard(one, facts, found))}${silent(found)}`,
    commands: found === undefined ? [] : [command],
  };
}

const severities = {
  high: both("serious", "严重"),
  medium: both("worth mending", "值得改进"),
  low: both("minor", "轻微"),
} as const;

function surety(confidence: number): Markup {
  const percent = share(confidence, 0);
  if (confidence >= 0.85) return both(`nearly certain (${percent})`, `几乎确定（${percent}）`);
  if (confidence >= 0.6) return both(`likely (${percent})`, `很可能（${percent}）`);
  return both(`possible (${percent})`, `有可能（${percent}）`);
}

function valueOf({ value, unit }: Finding["evidence"][number]): string {
  if (value === null) return "–";
  if (unit === "share") return share(value);
  if (unit === "count") return formatCount(value);
  return Math.abs(value) < 0.01 && value !== 0
    ? value.toExponential(1)
    : figure(value, unit === "nats" ? 3 : 2);
}

function findingCard(finding: Finding, facts: ReportFacts, { pictures }: FoundFindings): Markup {
  const { id, title, evidence, examples, confidence, severity, remedy, picture } = finding;
  const svg = picture === undefined ? undefined : pictures.get(picture);
  const shown = table(
    [
      { head: both("evidence", "证据") },
      { head: both("found", "实测"), number: true },
      { head: both("expected", "预期") },
    ],
    evidence
      .slice(0, 30)
      .map((one) => [
        phrase(one.name),
        markup`${valueOf(one)}`,
        one.expected === undefined ? markup`<span class="off">–</span>` : phrase(one.expected),
      ]),
  );
  // As an image a picture can neither run nor fetch anything, whatever the file holds.
  const drawn =
    svg === undefined
      ? NOTHING
      : markup`<img class="picture" alt="" src="data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}">`;
  const said = examples
    .slice(0, 3)
    .map(
      ({ context, reference, prediction, note }) =>
        markup`<li><p class="asked">${phrase(context)}</p><p>→ ${phrase(prediction)}</p>${reference === undefined ? NOTHING : markup`<p class="note">${both("reference", "参考")}: ${given(reference)}</p>`}${note === undefined ? NOTHING : markup`<p class="note">${phrase(note)}</p>`}</li>`,
    );
  return markup`<article class="card finding ${severity}" id="finding-${id}">
    <p class="eyebrow">${severities[severity]} · ${surety(confidence)} · ${code(id)}</p>
    <h3>${bothOf(title)}</h3>
    <div class="split"><div>${shown}</div>${drawn}</div>
    ${said.length === 0 ? NOTHING : moreDetails(both(`${said.length} examples`, `${said.length} 个例子`), markup`<ul class="probes">${said}</ul>`)}
    <div class="remedy"><p><b>${both("What to change", "如何改进")}</b> ${bothOf(remedy.text)}</p>${
      remedy.set.length === 0
        ? NOTHING
        : markup`<p class="sets">${remedy.set.map((one) => markup`${code(one)} `)}</p><p class="made">${code(remedyCommand(facts, id))}</p>`
    }${(remedy.commands ?? []).map((one) => markup`<p class="made">${code(one)}</p>`)}</div>
  </article>`;
}

/** What was looked for and not found is an answer too. */
function silent({ lookedFor, findings }: FoundFindings): Markup {
  const fired = new Set(findings.map(({ id }) => id));
  const rest = lookedFor.filter(({ id }) => !fired.has(id));
  if (rest.length === 0) return NOTHING;
  const chips = rest.map(({ about }) => markup`<li>${bothOf(about)}</li>`);
  return markup`<div class="card quiet"><h3>${both("Looked for, and not found", "已检查，未发现")}</h3><ul class="chips">${chips}</ul></div>`;
}
