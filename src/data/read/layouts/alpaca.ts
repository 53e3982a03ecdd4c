/** Alpaca: `instruction`, `input`, `output`, and LLaMA-Factory's `history` and `system`. */
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import { asList, optionalLabel, optionalText, requireObject, requireText } from "./fields.ts";
import { detectBy, own, type Layout } from "./layout.ts";
import { withSystem } from "./message-list.ts";

export const alpaca = {
  name: "alpaca",
  title: "Alpaca rows",
  fields: ["instruction", "input", "output", "history", "system", "intent", "dialogue_id"],
  detect: detectBy(
    "`instruction` and `output` (text)",
    (row) => typeof own(row, "instruction") === "string" && typeof own(row, "output") === "string",
  ),
  map(value, context) {
    const row = requireObject(value);
    const instruction = requireText(row, "instruction");
    const input = optionalText(row, "input");
    const history = historyMessages(own(row, "history"));
    if (history.length > 0) context.count("# rows carry a history; its replies are learned too");
    return {
      dialogueId: optionalLabel(row, "dialogue_id") ?? optionalLabel(row, "id"),
      messages: withSystem(
        [
          ...history,
          { role: "user", content: input === undefined ? instruction : `${instruction}\n${input}` },
          { role: "assistant", content: requireText(row, "output") },
        ],
        optionalText(row, "system"),
      ),
      intent: optionalLabel(row, "intent"),
    };
  },
} as const satisfies Layout;

/** Pairs of question and answer. */
function historyMessages(history: unknown): RecordMessage[] {
  if (history === undefined || history === null || history === "") return [];
  const pairs = asList(history);
  if (pairs === undefined) {
    throw new RowFault("wrong-type", `\`history\` must be a list of pairs; it is ${describeValue(history)}`);
  }
  return pairs.flatMap((pair, i): RecordMessage[] => {
    const [question, answer] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (typeof question !== "string" || typeof answer !== "string" || (pair as unknown[]).length !== 2) {
      throw new RowFault(
        "wrong-type",
        `item ${i + 1} of \`history\` must be a pair of texts; it is ${describeValue(pair)}`,
      );
    }
    return [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ];
  });
}
