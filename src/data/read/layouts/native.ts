/** Attune's own rows: `context`, `response`, and optionally `intent`, `dialogue_id`, `turn`, `system`. */
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import {
  asList,
  optionalCount,
  optionalLabel,
  optionalText,
  optionalWeight,
  requireObject,
  requireText,
} from "./fields.ts";
import { detectBy, own, type Layout, type RowContext } from "./layout.ts";
import { mapMessages, withSystem } from "./message-list.ts";
import { splitByMarks } from "./roles.ts";

export const native = {
  name: "native",
  title: "rows of context and response",
  fields: ["context", "response", "intent", "dialogue_id", "turn", "system", "weight"],
  detect: detectBy(
    "`context` (text or a list) and `response` (text)",
    (row) =>
      typeof own(row, "response") === "string" &&
      (typeof own(row, "context") === "string" || Array.isArray(own(row, "context"))) &&
      // Question-answering sets call a passage `context` and put the question elsewhere.
      typeof own(row, "instruction") !== "string" &&
      typeof own(row, "question") !== "string",
  ),
  map(value, context) {
    const row = requireObject(value);
    const history = contextMessages(own(row, "context"), context);
    const response = requireText(row, "response");
    const messages = withSystem(history, optionalText(row, "system"));
    messages.push({ role: "assistant", content: response });
    return {
      dialogueId: optionalLabel(row, "dialogue_id"),
      messages,
      intent: optionalLabel(row, "intent"),
      turn: optionalCount(row, "turn"),
      weight: optionalWeight(row, "weight"),
    };
  },
} as const satisfies Layout;

/** The history in one of its three forms; its assistant messages are not to be learned. */
function contextMessages(context: unknown, where: RowContext): RecordMessage[] {
  if (context === undefined || context === null) throw new RowFault("missing-field", "`context` is missing");
  const list = asList(context);
  if (list === undefined) {
    if (typeof context !== "string") {
      throw new RowFault("wrong-type", `\`context\` must be text or a list; it is ${describeValue(context)}`);
    }
    if (context.trim() === "")
      throw new RowFault("empty-field", "`context` is empty: a reply needs a question");
    return asHistory(splitByMarks(context) ?? [{ role: "user", content: context }]);
  }
  if (list.length === 0)
    throw new RowFault("empty-field", "`context` is an empty list: a reply needs a question");
  return asHistory(typeof list[0] === "string" ? alternate(list) : mapMessages(list, where));
}

/** A list of strings: by their role marks where all have one, else the last is the user's and sides alternate. */
function alternate(list: readonly unknown[]): RecordMessage[] {
  const texts = list.map((item, i) => {
    if (typeof item === "string") return item;
    throw new RowFault(
      "wrong-type",
      `item ${i + 1} of \`context\` must be text like the first; it is ${describeValue(item)}`,
    );
  });
  const marked = texts.map(splitByMarks);
  if (marked.every((messages) => messages !== undefined)) return marked.flat();
  return texts.map((content, i) => ({
    role: (texts.length - i) % 2 === 1 ? "user" : "assistant",
    content,
  }));
}

function asHistory(messages: readonly RecordMessage[]): RecordMessage[] {
  return messages.map((message) =>
    message.role === "assistant" && message.supervised !== false
      ? { ...message, supervised: false }
      : message,
  );
}
