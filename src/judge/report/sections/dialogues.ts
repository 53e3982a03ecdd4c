/** Ten dialogues side by side: what the base said, what the run says, what the data answer. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatCount } from "../../../util/index.ts";
import { evaluateCommand } from "../commands.ts";
import { type Section, missingNote, moreDetails, warning, warningList } from "../parts.ts";
import type { DialogueShown, Dialogues, ReplyShown, ReportFacts } from "../types.ts";
import { both, code, figure, given, systemName } from "../words.ts";

export function dialoguesSection(facts: ReportFacts): Section {
  const { dialogues } = facts;
  const command = evaluateCommand(facts);
  const found = dialogues.found;
  const shown = found?.shown ?? [];
  return {
    id: "dialogues",
    title: { en: "Dialogues, side by side", zh: "对话对照" },
    ...(found === undefined || shown.length === 0 ? {} : { lead: lead(found) }),
    body:
      found === undefined || shown.length === 0
        ? missingNote(
            dialogues.missing ?? { en: "The file of predictions holds none.", zh: "预测文件为空。" },
            command,
          )
        : markup`${unreadable(found)}${shown.map((one, i) => dialogueCard(one, i + 1, facts))}`,
    commands: shown.length === 0 ? [] : [command],
  };
}

const lead = ({ shown, among }: Dialogues): Markup =>
  both(
    `${shown.length} of ${formatCount(among)} prompts, spread evenly from the run's best reply to its worst (chrF against the reference): nobody picked them.`,
    `从 ${formatCount(among)} 个提示中取 ${shown.length} 个，按与参考回复的 chrF 从最好到最差均匀选取，未经人工挑选。`,
  );

function unreadable({ unreadable: count, firstUnreadable = 1 }: Dialogues): Markup {
  if (count === 0) return NOTHING;
  return warningList([
    warning(
      both(
        `${formatCount(count)} lines of the predictions cannot be read, the first in line ${firstUnreadable}; they were passed over.`,
        `预测文件有 ${formatCount(count)} 行无法读取（首个在第 ${firstUnreadable} 行），已跳过。`,
      ),
    ),
  ]);
}

const roles: Readonly<Record<string, Markup>> = {
  user: both("customer", "客户"),
  assistant: both("shop", "客服"),
  system: both("instruction", "系统指令"),
  tool: both("tool", "工具"),
};

const roleName = (role: string): Markup => (Object.hasOwn(roles, role) ? roles[role]! : given(role));

const lastShown = 3;

function dialogueCard(dialogue: DialogueShown, number: number, facts: ReportFacts): Markup {
  const { id, intent, depth, seen, context, earlier, reference, replies, score } = dialogue;
  const turns = context.map(
    ({ role, content }) =>
      markup`<li class="turn ${role === "assistant" ? "shop" : role === "user" ? "customer" : "other"}"><small>${roleName(role)}</small><p>${given(content)}</p></li>`,
  );
  const hidden = turns.slice(0, -lastShown);
  const before =
    hidden.length + earlier === 0
      ? NOTHING
      : moreDetails(
          both(`${hidden.length + earlier} earlier messages`, `更早的 ${hidden.length + earlier} 条消息`),
          markup`${earlier === 0 ? NOTHING : markup`<p class="note">${both(`${earlier} more before these`, `此前另有 ${earlier} 条`)}</p>`}<ol class="turns">${hidden}</ol>`,
        );
  const systems = facts.evaluation.found?.systems ?? [];
  const known = (name: string): (typeof systems)[number] | undefined =>
    systems.find((one) => one.name === name);
  const columns = [...replies]
    .filter(({ system }) => !["retrieval", "frequent"].includes(known(system)?.kind ?? ""))
    .sort(
      (a, b) =>
        systems.findIndex(({ name }) => name === a.system) -
        systems.findIndex(({ name }) => name === b.system),
    )
    .slice(0, 4)
    .map((reply) => {
      const system = known(reply.system);
      const tone = system?.kind === "base" ? "base" : "own";
      return column(system === undefined ? given(reply.system) : systemName(system), reply, tone);
    });
  const chips = [
    ...(intent === undefined ? [] : [markup`<li>${given(intent)}</li>`]),
    ...(depth === undefined ? [] : [markup`<li>${both(`turn ${depth}`, `第 ${depth} 轮`)}</li>`]),
    ...(seen === undefined
      ? []
      : [
          markup`<li>${seen ? both("reply stands in training", "训练中出现过") : both("reply is new", "新的回复")}</li>`,
        ]),
    markup`<li>chrF <b>${figure(score, 1)}</b></li>`,
  ];
  return markup`<article class="card dialogue">
    <div class="head"><span class="number">${number}</span><ul class="chips">${chips}</ul><span class="off id">${code(id)}</span></div>
    ${before}<ol class="turns">${turns.slice(-lastShown)}</ol>
    <div class="replies">${columns}${reference === undefined ? NOTHING : column(both("reference", "参考回复"), { system: "", text: reference }, "reference")}</div>
  </article>`;
}

const stops: Readonly<Record<string, Markup>> = {
  length: both("cut at the limit", "到达长度上限被截断"),
  "prompt too long": both("the prompt was too long", "提示过长"),
};

function column(name: Markup, { text, stoppedBy = "" }: ReplyShown, tone: string): Markup {
  const said = text.trim() === "" ? markup`<em class="off">${both("empty", "空")}</em>` : given(text);
  const stop = Object.hasOwn(stops, stoppedBy)
    ? markup`<small class="warn">${stops[stoppedBy]!}</small>`
    : NOTHING;
  return markup`<div class="reply ${tone}"><h4>${name}</h4><p>${said}</p>${stop}</div>`;
}
