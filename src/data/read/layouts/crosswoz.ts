/** CrossWOZ: one JSON object of dialogues by id, with `usr` and `sys` messages and their dialogue acts. */
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import { corpusId, recordedDialogue, requireTurn, turnText } from "./dialogue.ts";
import { optionalLabel, requireList, requireObject } from "./fields.ts";
import { detectBy, isObject, own, type Layout, type RowObject } from "./layout.ts";

export const crosswoz = {
  name: "crosswoz",
  title: "CrossWOZ",
  fields: [],
  detect: detectBy("`messages` whose roles are usr and sys, with `dialog_act`", (row) => {
    const messages = own(row, "messages");
    const first = Array.isArray(messages) ? (messages as unknown[])[0] : undefined;
    return (
      isObject(first) &&
      ["usr", "sys"].some((role) => role === own(first, "role")) &&
      Object.hasOwn(first, "dialog_act")
    );
  }),
  map(value, context) {
    const row = requireObject(value);
    const id = context.key ?? optionalLabel(row, "dialogue_id") ?? optionalLabel(row, "id");
    let intent: string | undefined;
    const turns = requireList(row, "messages").map((item, i): RecordMessage => {
      const turn = requireTurn(item, i + 1);
      const role = turnText(turn, "role", i + 1);
      if (role !== "usr" && role !== "sys") {
        throw new RowFault(
          "unknown-role",
          `the role of turn ${i + 1} is ${describeValue(role)}; it must be usr or sys`,
        );
      }
      if (role === "usr") intent = userIntent(turn) ?? intent;
      return {
        role: role === "usr" ? "user" : "assistant",
        content: turnText(turn, "content", i + 1),
        ...(intent === undefined ? {} : { intent }),
      };
    });
    return {
      dialogueId: id === undefined ? undefined : corpusId("crosswoz", context.file, id),
      messages: recordedDialogue(turns, context),
    };
  },
} as const satisfies Layout;

/** What a user does in a turn of several acts, the most telling first. */
const ACTS = ["Request", "Select", "Inform", "General"];

/**
 * Domain and act of the first act of the most telling kind, such as 酒店-Request or 通用-thank. A turn
 * without acts goes on with the intent before it.
 */
function userIntent(turn: RowObject): string | undefined {
  const acts = own(turn, "dialog_act");
  if (!Array.isArray(acts)) return undefined;
  for (const wanted of ACTS) {
    const found = acts.find(
      (act: unknown) => Array.isArray(act) && act[0] === wanted && typeof act[1] === "string",
    ) as readonly [string, string] | undefined;
    if (found !== undefined) return wanted === "General" ? `通用-${found[1]}` : `${found[1]}-${wanted}`;
  }
  return undefined;
}
