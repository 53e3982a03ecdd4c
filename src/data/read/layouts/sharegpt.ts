/** ShareGPT: `conversations` of {from, value}. */
import { asList, optionalLabel, optionalText, requireList, requireObject } from "./fields.ts";
import { detectBy, firstOwn, isObject, own, type Layout, type RowObject } from "./layout.ts";
import { mapMessages, withSystem, withTools } from "./message-list.ts";

const LISTS = ["conversations", "conversation", "items"];
const TEXTS = ["value", "content", "text"];

export const sharegpt = {
  name: "sharegpt",
  title: "ShareGPT conversations",
  fields: ["conversations", "system", "tools", "intent", "dialogue_id"],
  detect: detectBy("a list of turns with `from` and `value`", (row) => {
    const first = turnsOf(row)?.[0];
    return isObject(first) && typeof own(first, "from") === "string" && firstOwn(first, TEXTS) !== undefined;
  }),
  map(value, context) {
    const row = requireObject(value);
    const list = requireList(
      row,
      LISTS.find((name) => asList(own(row, name)) !== undefined) ?? "conversations",
    );
    const first = list.find(isObject);
    const content = (first === undefined ? undefined : firstOwn(first, TEXTS)) ?? "value";
    const messages = withSystem(
      mapMessages(list, context, { role: "from", content }),
      optionalText(row, "system"),
    );
    return {
      dialogueId: optionalLabel(row, "dialogue_id") ?? optionalLabel(row, "id"),
      messages: withTools(messages, own(row, "tools"), context),
      intent: optionalLabel(row, "intent"),
    };
  },
} as const satisfies Layout;

function turnsOf(row: RowObject): readonly unknown[] | undefined {
  for (const name of LISTS) {
    const list = asList(own(row, name));
    if (list !== undefined) return list;
  }
  return undefined;
}
