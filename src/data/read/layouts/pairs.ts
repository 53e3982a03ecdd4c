/** One question and one answer a row: prompt and completion under their usual names. */
import type { RecordMessage } from "../../record.ts";
import { asList, optionalLabel, optionalText, requireObject, requireText } from "./fields.ts";
import { detectBy, own, type Layout, type RowContext, type RowObject } from "./layout.ts";
import { mapMessages, withSystem } from "./message-list.ts";
import { splitByMarks } from "./roles.ts";

const PAIRS: readonly (readonly [string, string])[] = [
  ["prompt", "completion"],
  ["prompt", "response"],
  ["prompt", "answer"],
  ["question", "answer"],
  ["question", "response"],
  ["query", "response"],
  ["query", "answer"],
  ["input", "output"],
];

export const pairs = {
  name: "prompt-completion",
  title: "rows of prompt and completion, question and answer",
  fields: [...new Set(PAIRS.flat()), "system", "intent", "dialogue_id"],
  detect: detectBy(
    `a pair such as \`prompt\` and \`completion\` or \`question\` and \`answer\``,
    (row) => pairOf(row) !== undefined && own(row, "instruction") === undefined,
  ),
  map(value, context) {
    const row = requireObject(value);
    const [question, answer] = pairOf(row) ?? nearestPair(row);
    const before = sideMessages(row, question, "user", context);
    const after = sideMessages(row, answer, "assistant", context);
    return {
      dialogueId: optionalLabel(row, "dialogue_id") ?? optionalLabel(row, "id"),
      messages: withSystem(
        [
          ...before.map((message) =>
            message.role === "assistant" ? { ...message, supervised: false } : message,
          ),
          ...after,
        ],
        optionalText(row, "system"),
      ),
      intent: optionalLabel(row, "intent"),
    };
  },
} as const satisfies Layout;

function pairOf(row: RowObject): readonly [string, string] | undefined {
  const present = (name: string): boolean => {
    const value = own(row, name);
    return typeof value === "string" || Array.isArray(value);
  };
  return PAIRS.find(([question, answer]) => present(question) && present(answer));
}

/** For the message of a row that lacks one half. */
function nearestPair(row: RowObject): readonly [string, string] {
  return PAIRS.find((pair) => pair.some((name) => own(row, name) !== undefined)) ?? PAIRS[0]!;
}

/** One text, a text with role marks, or (TRL's conversational form) a list of messages. */
function sideMessages(
  row: RowObject,
  name: string,
  role: "user" | "assistant",
  context: RowContext,
): readonly RecordMessage[] {
  const value = own(row, name);
  const list = Array.isArray(value) ? asList(value) : undefined;
  if (list !== undefined && list.length > 0) return mapMessages(list, context);
  const content = requireText(row, name);
  return (role === "user" ? splitByMarks(content) : undefined) ?? [{ role, content }];
}
