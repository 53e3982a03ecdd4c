/** Who speaks: the words that data sets use for the four roles, and role marks inside a text. */
import type { Role } from "../../../model/text/index.ts";
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";

const WORDS: Readonly<Record<Role, string>> = {
  system: "system developer 系统",
  user: "user human customer client usr guest caller buyer visitor question q 用户 客户 顾客 买家 访客 问",
  assistant:
    "assistant agent gpt bot chatgpt model ai sys support representative rep chatbot bard bing claude " +
    "seller operator answer a 客服 坐席 助手 机器人 助理 卖家 商家 店家 答",
  tool: "tool function observation tool_response function_response ipython 工具",
};

const ROLE_OF: ReadonlyMap<string, Role> = new Map(
  (Object.keys(WORDS) as Role[]).flatMap((role) =>
    WORDS[role].split(" ").map((word) => [word, role] as const),
  ),
);

/** The role that a word means, or nothing. */
export function roleOf(word: unknown): Role | undefined {
  return typeof word === "string" ? (ROLE_OF.get(word) ?? ROLE_OF.get(word.trim().toLowerCase())) : undefined;
}

/** `where` is such as "message 3". */
export function requireRole(word: unknown, where: string): Role {
  const role = roleOf(word);
  if (role !== undefined) return role;
  if (word === undefined || word === null) throw new RowFault("missing-field", `${where} names no role`);
  throw new RowFault(
    "unknown-role",
    `${where} has ${describeValue(word)} as its role; known are system, user, assistant, tool and their usual synonyms`,
  );
}

const MARK_WORDS = [...ROLE_OF.keys()]
  // One-letter and rare words stand before colons in honest text too.
  .filter(
    (word) => !["model", "a", "q", "ai", "question", "answer", "function", "observation"].includes(word),
  )
  .sort((a, b) => b.length - a.length)
  .join("|");
const MARK = new RegExp(
  `^[ \\t]*(?:\\*\\*|\\[|【|<)?(${MARK_WORDS})(?:\\*\\*|\\]|】|>)?[ \\t]*[:：][ \\t]*(?:\\*\\*)?`,
  "i",
);

/** The role mark that begins a line such as "User: …" or "客服：…", and the rest of the line. */
function markedLine(line: string): { role: Role; rest: string } | undefined {
  const found = MARK.exec(line);
  const role = found === null ? undefined : roleOf(found[1]);
  return found === null || role === undefined ? undefined : { role, rest: line.slice(found[0].length) };
}

/**
 * A text whose lines begin with role marks, as messages; `undefined` when its first line has none (marks
 * further down may be part of what a customer wrote, such as "User: jane" in a log-in).
 */
export function splitByMarks(text: string): RecordMessage[] | undefined {
  const trimmed = text.trimStart();
  if (markedLine(trimmed.slice(0, 60)) === undefined) return undefined;
  const messages: { role: Role; lines: string[] }[] = [];
  for (const line of trimmed.split(/\r?\n/)) {
    const marked = markedLine(line);
    if (marked !== undefined) messages.push({ role: marked.role, lines: [marked.rest] });
    else messages.at(-1)?.lines.push(line);
  }
  // Some corpora call the answering machine "System": it is the assistant when no other side answers.
  const roles = new Set(messages.map((message) => message.role));
  const isAnswerer = roles.has("system") && !roles.has("assistant") && messages[0]!.role === "user";
  return messages.map(({ role, lines }) => ({
    role: role === "system" && isAnswerer ? "assistant" : role,
    content: lines.join("\n").trim(),
  }));
}
