/** Spoils dialogues the way real exports are spoilt: personal data, insults, markup, duplicates, broken rows. */
import type { Message } from "../../src/model/text/index.ts";
import type { Random } from "../../src/util/index.ts";
import type { Language } from "./compose.ts";
import { digits } from "./generic-world.ts";
import { type DialogueRow, type ShopDialogue, toRows } from "./teashop-dialogues.ts";

/** What can be wrong with a dialogue whose rows are still well-formed. */
export type DialogueDirt =
  | "personal-data"
  | "insult"
  | "html"
  | "full-width"
  | "boilerplate"
  | "invisible-characters"
  | "short-reply"
  | "long-reply"
  | "exact-duplicate"
  | "near-duplicate";

/** What can be wrong with one row, so that it cannot be read as a sample. */
export type RowDirt =
  | "json-syntax"
  | "missing-response"
  | "wrong-type"
  | "empty-turn"
  | "empty-response"
  | "role-order"
  | "unknown-role";

/** How many dialogues or rows the raw file holds of every kind of dirt. */
export const DIALOGUE_DIRT: Readonly<Record<DialogueDirt, number>> = {
  "personal-data": 36,
  insult: 20,
  html: 18,
  "full-width": 14,
  boilerplate: 14,
  "invisible-characters": 8,
  "short-reply": 14,
  "long-reply": 6,
  "exact-duplicate": 24,
  "near-duplicate": 24,
};
export const ROW_DIRT: Readonly<Record<RowDirt, number>> = {
  "json-syntax": 8,
  "missing-response": 8,
  "wrong-type": 8,
  "empty-turn": 8,
  "empty-response": 4,
  "role-order": 8,
  "unknown-role": 4,
};

type ByLanguage<T> = { readonly [L in Language]: T };

const INSULTS: ByLanguage<readonly string[]> = {
  en: [
    "You are all idiots.",
    "What a bunch of morons.",
    "This is bullshit.",
    "Your damn shop is a joke, you stupid robot.",
    "Are you too stupid to read?",
    "You bloody crooks.",
  ],
  zh: [
    "你们都是骗子！",
    "垃圾客服，滚！",
    "真他妈的烦人。",
    "你是傻子吗？",
    "一群混蛋。",
    "脑子有病吧你们。",
  ],
};

const BOILERPLATE: ByLanguage<string> = {
  en: "This message was sent by the Lantern Lane customer service. Please keep the ticket number in the subject of your reply. Do not share this conversation with third parties.",
  zh: "本消息由灯巷茶铺客户服务中心发送，回复时请保留工单号，请勿将对话内容转发给第三方。",
};

const SHORT: ByLanguage<readonly string[]> = {
  en: ["Ok", "Yes.", "No", "Done.", "?", "Hm"],
  zh: ["好", "嗯", "是", "行。", "？", "哦"],
};

/** Returns the dialogue spoilt with one kind of dirt, and the turns of the rows that carry it. */
export function spoil(
  dialogue: ShopDialogue,
  kind: Exclude<DialogueDirt, "exact-duplicate">,
  rng: Random,
): { readonly dialogue: ShopDialogue; readonly turns: readonly number[] } {
  const { language, messages } = dialogue;
  const lastTurn = messages.length / 2 - 1;
  const turn = rng.integer(messages.length / 2);
  const editUser = (edit: (text: string) => string): readonly Message[] =>
    messages.map((message, i) => (i === turn * 2 ? { ...message, content: edit(message.content) } : message));
  const editReply = (edit: (text: string) => string): readonly Message[] =>
    messages.map((message, i) =>
      i === turn * 2 + 1 ? { ...message, content: edit(message.content) } : message,
    );
  const from = (first: number): readonly number[] =>
    Array.from({ length: lastTurn - first + 1 }, (_, i) => first + i);
  const result = (edited: readonly Message[], turns = from(turn)): ReturnType<typeof spoil> => ({
    dialogue: { ...dialogue, messages: edited },
    turns,
  });
  switch (kind) {
    case "personal-data":
      return result(
        editUser((text) => `${text}${language === "en" ? " " : "，"}${personalData(language, rng)}`),
      );
    case "insult":
      return result(editUser((text) => `${text} ${rng.pick(INSULTS[language])}`));
    case "html":
      return result(
        rng.next() < 0.5 ? editUser((text) => markup(text, rng)) : editReply((text) => markup(text, rng)),
      );
    case "full-width":
      return result(editUser(fullWidth), from(turn));
    case "boilerplate":
      return result(
        messages.map((message) =>
          message.role === "assistant"
            ? { ...message, content: `${message.content}\n${BOILERPLATE[language]}` }
            : message,
        ),
        from(0),
      );
    case "invisible-characters":
      return result(editUser((text) => insertInvisible(text, rng)));
    case "short-reply":
      return result(editReply(() => rng.pick(SHORT[language])));
    case "long-reply":
      return result(
        editReply((text) =>
          Array.from({ length: 14 }, () => text)
            .join(" ")
            .padEnd(1_400, ` ${text}`),
        ),
      );
    case "near-duplicate":
      return result(
        messages.map((message) => ({ ...message, content: retouch(message, language) })),
        from(0),
      );
  }
}

/** Everything is invented: reserved phone ranges, the test card number, `.example` addresses. */
function personalData(language: Language, rng: Random): string {
  if (language === "en") {
    return rng.pick([
      `my email is ${rng.pick(["anna.k", "j.smith", "tea_lover"])}${digits(2, rng)}@post.example`,
      `my phone number is 07700 900${digits(3, rng)}`,
      `you can call me on +44 20 7946 0${digits(3, rng)}`,
      `my passport number is ${digits(9, rng)}`,
      `my card number is 4111 1111 1111 1111`,
    ]);
  }
  return rng.pick([
    `我的邮箱是${rng.pick(["chahua", "xiaolin", "lvye"])}${digits(3, rng)}@youxiang.example`,
    `我的手机号是138${digits(8, rng)}`,
    `打我电话吧，159-${digits(4, rng)}-${digits(4, rng)}`,
    `我的身份证号是${identityNumber(rng)}`,
    `卡号6222${digits(12, rng)}`,
  ]);
}

/** A Chinese identity number with a valid check digit (GB 11643) and a region code that no region has. */
function identityNumber(rng: Random): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const birth = `${1950 + rng.integer(55)}${two(1 + rng.integer(12))}${two(1 + rng.integer(28))}`;
  const body = `999999${birth}${digits(3, rng)}`;
  const weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
  const sum = weights.reduce((total, weight, i) => total + weight * Number(body[i]), 0);
  return body + "10X98765432"[sum % 11];
}

function markup(text: string, rng: Random): string {
  return rng.pick([
    `<p>${text}</p>`,
    `${text}<br/>`,
    `<div class="msg">${text.replace(" ", "&nbsp;")}</div>`,
    `<span style="color:#333">${text}</span>&nbsp;`,
    `${text} <a href="https://lanternlane.example/help">help</a>`,
  ]);
}

/** Letters, digits and signs of ASCII as their full-width twins. */
function fullWidth(text: string): string {
  return text
    .replace(/[!-~]/g, (sign) => String.fromCodePoint(sign.codePointAt(0)! + 0xfee0))
    .replaceAll(" ", "\u3000");
}

function insertInvisible(text: string, rng: Random): string {
  const points = [...text];
  const at = 1 + rng.integer(points.length);
  return [
    ...points.slice(0, at),
    rng.pick(["\u200b", "\ufeff", "\u200d", "\u0007", "\u00ad"]),
    ...points.slice(at),
  ].join("");
}

/** The small differences between two exports of one dialogue. */
function retouch({ role, content }: Message, language: Language): string {
  const ended = content.replace(language === "en" ? /\.$/ : /。$/, language === "en" ? "!" : "！");
  if (role === "assistant") return ended;
  return language === "en" ? ended.replace("please", "pls").replace("my", "My") : ended.replace("您", "你");
}

/** One unreadable line made from a good row. */
export function breakRow(row: DialogueRow, kind: RowDirt, rng: Random): string {
  const { response: _response, ...withoutResponse } = row;
  const first = row.context[0]!;
  switch (kind) {
    case "json-syntax": {
      const text = JSON.stringify(row);
      return rng.pick([
        text.slice(0, -1 - rng.integer(30)),
        text.replace('"turn":', '"turn"'),
        `${text.slice(0, -1)},}`,
      ]);
    }
    case "missing-response":
      return JSON.stringify(withoutResponse);
    case "wrong-type":
      return JSON.stringify(
        rng.pick<object>([
          { ...row, response: [row.response] },
          { ...row, context: 42 },
          { ...row, context: row.context.map(({ content }) => ({ role: 1, content })) },
          { ...row, response: { text: row.response } },
        ]),
      );
    case "empty-turn":
      return JSON.stringify({
        ...row,
        context: row.context.map((message, i) =>
          i === row.context.length - 1 ? { ...message, content: rng.pick(["", "   "]) } : message,
        ),
      });
    case "empty-response":
      return JSON.stringify({ ...row, response: rng.pick(["", " ", "\n"]) });
    case "role-order":
      return JSON.stringify({
        ...row,
        context: rng.pick([
          [...row.context, { role: "assistant", content: row.response }],
          [first, first, ...row.context.slice(1)],
        ]),
      });
    case "unknown-role":
      return JSON.stringify({
        ...row,
        context: row.context.map((message) => ({ ...message, role: "agent007" })),
      });
  }
}

/** The rows of a dialogue as lines. */
export function toLines(dialogue: ShopDialogue): readonly string[] {
  return toRows(dialogue).map((row) => JSON.stringify(row));
}
