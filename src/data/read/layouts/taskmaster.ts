/** Google's Taskmaster 1 to 4: `utterances` of {speaker, text}; the kind of business is the intent. */
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import { recordedDialogue, requireTurn, turnText } from "./dialogue.ts";
import { optionalLabel, requireList, requireObject } from "./fields.ts";
import { detectBy, isObject, own, type Layout } from "./layout.ts";

export const taskmaster = {
  name: "taskmaster",
  title: "Taskmaster",
  fields: [],
  detect: detectBy("`conversation_id` and `utterances` with `speaker` and `text`", (row) => {
    const utterances = own(row, "utterances");
    const first = Array.isArray(utterances) ? (utterances as unknown[])[0] : undefined;
    return (
      isObject(first) &&
      Object.hasOwn(first, "speaker") &&
      Object.hasOwn(first, "text") &&
      Object.hasOwn(row, "conversation_id")
    );
  }),
  map(value, context) {
    const row = requireObject(value);
    const turns = requireList(row, "utterances").map((item, i): RecordMessage => {
      const turn = requireTurn(item, i + 1);
      const speaker = turnText(turn, "speaker", i + 1).toLowerCase();
      if (speaker !== "user" && speaker !== "assistant") {
        throw new RowFault(
          "unknown-role",
          `the speaker of turn ${i + 1} is ${describeValue(speaker)}; it must be user or assistant`,
        );
      }
      return { role: speaker, content: turnText(turn, "text", i + 1) };
    });
    return {
      dialogueId: optionalLabel(row, "conversation_id"),
      messages: recordedDialogue(turns, context),
      intent: optionalLabel(row, "vertical") ?? optionalLabel(row, "instruction_id"),
    };
  },
} as const satisfies Layout;
