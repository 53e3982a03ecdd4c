/** Whole conversations as lists of {role, content}: our own data sets and OpenAI's fine-tuning files. */
import {
  asList,
  optionalCount,
  optionalLabel,
  optionalWeight,
  requireList,
  requireObject,
} from "./fields.ts";
import { detectBy, firstOwn, isObject, own, type Layout, type RowObject } from "./layout.ts";
import { mapMessages, withTools } from "./message-list.ts";
import { roleOf } from "./roles.ts";

const LISTS = ["messages", "conversation", "conversations", "dialogue", "dialog", "chat"];
/** CrossWOZ has `messages` too, with roles of its own. */
const FOREIGN_ROLES = ["usr", "sys"];

export const messages = {
  name: "messages",
  title: "OpenAI messages and Attune's own data sets",
  fields: ["messages", "intent", "dialogue_id", "turn", "tools", "weight"],
  detect: detectBy("a list of messages with `role` and `content`", (row) => {
    const name = listName(row);
    const items = name === undefined ? undefined : asList(own(row, name));
    const first = items?.[0];
    return (
      isObject(first) &&
      roleOf(own(first, "role")) !== undefined &&
      !FOREIGN_ROLES.some((role) => role === own(first, "role")) &&
      (Object.hasOwn(first, "content") || Object.hasOwn(first, "tool_calls"))
    );
  }),
  map(value, context) {
    const row = requireObject(value);
    const list = requireList(row, listName(row) ?? "messages");
    const tools = firstOwn(row, ["tools", "functions"]);
    return {
      dialogueId: optionalLabel(row, "dialogue_id") ?? optionalLabel(row, "id"),
      messages: withTools(mapMessages(list, context), tools === undefined ? undefined : row[tools], context),
      intent: optionalLabel(row, "intent"),
      turn: optionalCount(row, "turn"),
      weight: optionalWeight(row, "weight"),
    };
  },
} as const satisfies Layout;

function listName(row: RowObject): string | undefined {
  return LISTS.find((name) => asList(own(row, name)) !== undefined);
}
