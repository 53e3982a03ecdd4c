/** The report as one HTML file: no script, no request, two languages, light and dark, and nothing of a file's text that could act. */
import { createHash } from "node:crypto";
import { type Markup, NOTHING, escapeHtml, markup } from "../../util/html/index.ts";
import {
  dataCommand,
  diagnoseCommand,
  evaluateCommand,
  rateCommands,
  reportCommand,
  trainCommand,
} from "./commands.ts";
import { baseModel, cardSection } from "./model-card.ts";
import type { Section, SectionMaker } from "./parts.ts";
import { dataSection } from "./sections/data.ts";
import { dialoguesSection } from "./sections/dialogues.ts";
import { efficiencySection, forgettingSection } from "./sections/efficiency.ts";
import { findingsSection } from "./sections/findings.ts";
import { metricsSection } from "./sections/metrics.ts";
import { ratingsSection } from "./sections/ratings.ts";
import { summarySection } from "./sections/summary.ts";
import { trainingSection } from "./sections/training.ts";
import { reportStyle } from "./style.ts";
import type { ReportFacts } from "./types.ts";
import { both, bothOf, code, given } from "./words.ts";

export type Language = "en" | "zh";

/** In the order in which a reader asks. */
const makers: readonly SectionMaker[] = [
  summarySection,
  dataSection,
  trainingSection,
  metricsSection,
  ratingsSection,
  efficiencySection,
  forgettingSection,
  findingsSection,
  dialoguesSection,
  cardSection,
  commandsSection,
];

/** `language` is the one that is shown first; a switch on the page shows the other. */
export function renderReport(facts: ReportFacts, language: Language = "en"): string {
  const sections = makers.map((make) => make(facts));
  const body = markup`${top(language)}<div class="layout">${contents(sections)}<main>${heading(facts)}${sections.map(drawn)}<footer><p>${both(
    markup`Made by ${given(facts.madeBy)} on ${facts.date} with ${code(reportCommand(facts))}. The page holds no script and asks for nothing over the network.`,
    markup`由 ${given(facts.madeBy)} 于 ${facts.date} 用 ${code(reportCommand(facts))} 生成。本页不含脚本，也不发出任何网络请求。`,
  )}</p></footer></main></div>`;
  const hash = createHash("sha256").update(reportStyle).digest("base64");
  // Only this style sheet, and pictures that stand in the page: even an escape that was missed could neither run nor send.
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`;
  const title = language === "zh" ? `${facts.name} · 微调报告` : `${facts.name} · run report`;
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${reportStyle}</style>
</head>
<body>
${body.markup}
</body>
</html>
`;
}

function top(language: Language): Markup {
  const option = (group: string, id: string, text: Markup, on: boolean): Markup =>
    markup`<input type="radio" name="${group}" id="${id}"${on ? markup` checked` : NOTHING}><label for="${id}">${text}</label>`;
  return markup`<header class="top"><span class="brand"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2 13c3 0 3-10 6-10s3 10 6 10" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" /></svg>Attune</span>
  <div class="switches"><fieldset class="switch"><legend>Language / 语言</legend>${option("language", "lang-en", markup`English`, language === "en")}${option("language", "lang-zh", markup`<span translate="no">中文</span>`, language === "zh")}</fieldset>
  <fieldset class="switch"><legend>${both("Colours", "配色")}</legend>${option("theme", "theme-auto", both("Auto", "自动"), true)}${option("theme", "theme-light", both("Light", "浅色"), false)}${option("theme", "theme-dark", both("Dark", "深色"), false)}</fieldset></div></header>`;
}

function contents(sections: readonly Section[]): Markup {
  const items = sections.map(({ id, title }) => markup`<li><a href="#${id}">${bothOf(title)}</a></li>`);
  return markup`<nav class="toc"><ol>${items}</ol></nav>`;
}

function heading(facts: ReportFacts): Markup {
  const { name, settings } = facts;
  const base = baseModel(facts).name;
  const data = settings.data.train.replaceAll("\\", "/").replace(/\/+$/, "").split("/").at(-1) ?? "";
  return markup`<div class="heading"><p class="eyebrow">${both("Run report", "微调报告")} · ${facts.date}</p><h1>${given(name)}</h1><p class="lead">${both(
    markup`${given(base)}, fine-tuned with LoRA on ${given(data)} to answer customers.`,
    markup`在 ${given(data)} 上用 LoRA 微调 ${given(base)}，用于回复客户。`,
  )}</p></div>`;
}

function drawn({ id, title, lead, body, commands }: Section): Markup {
  const made =
    commands.length === 0
      ? NOTHING
      : markup`<p class="made">${both("Made by", "生成命令")}: ${commands.flatMap((one, i) => (i === 0 ? [code(one)] : [markup`<br>`, code(one)]))}</p>`;
  const heading =
    id === "summary" ? markup`<h2 class="unseen">${bothOf(title)}</h2>` : markup`<h2>${bothOf(title)}</h2>`;
  return markup`<section id="${id}">${heading}${lead === undefined ? NOTHING : markup`<p class="lead">${lead}</p>`}${body}${made}</section>`;
}

function commandsSection(facts: ReportFacts): Section {
  const steps: readonly (readonly [Markup, readonly string[]])[] = [
    [both("prepare the data", "准备数据"), facts.data.found === undefined ? [] : [dataCommand(facts)]],
    [both("train", "训练"), [trainCommand(facts)]],
    [both("evaluate", "评估"), [evaluateCommand(facts)]],
    [both("let people rate", "人工评分"), rateCommands(facts)],
    [both("diagnose", "诊断"), [diagnoseCommand(facts)]],
    [both("write this report", "生成本报告"), [reportCommand(facts)]],
  ];
  const items = steps
    .filter(([, lines]) => lines.length > 0)
    .map(
      ([what, lines]) => markup`<li><span class="note">${what}</span>${lines.map((one) => code(one))}</li>`,
    );
  return {
    id: "commands",
    title: { en: "Make it again", zh: "复现" },
    lead: both(
      "In this order, on this machine or another: the same seeds give the same data, the same losses and the same replies.",
      "按此顺序在本机或其他机器上运行：相同的随机种子得到相同的数据、损失和回复。",
    ),
    body: markup`<ol class="steps">${items}</ol>`,
    commands: [],
  };
}
