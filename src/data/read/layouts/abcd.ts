/** Action-Based Conversations Dataset: `original` is a list of [speaker, text]; the agent's actions are no messages. */
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import { recordedDialogue } from "./dialogue.ts";
import { optionalLabel, requireList, requireObject } from "./fields.ts";
import { detectBy, isObject, own, type Layout } from "./layout.ts";

export const abcd = {
  name: "abcd",
  title: "the Action-Based Conversations Dataset",
  fields: [],
  detect: detectBy("`original` (pairs of speaker and text), `scenario` and `convo_id`", (row) => {
    const original = own(row, "original");
    return Array.isArray(original) && Array.isArray(original[0]) && Object.hasOwn(row, "convo_id");
  }),
  map(value, context) {
    const row = requireObject(value);
    const id = optionalLabel(row, "convo_id");
    const scenario = own(row, "scenario");
    const turns: RecordMessage[] = [];
    requireList(row, "original").forEach((item, i) => {
      const [speaker, text] = Array.isArray(item) ? (item as unknown[]) : [];
      if (typeof speaker !== "string" || typeof text !== "string") {
        throw new RowFault(
          "wrong-type",
          `turn ${i + 1} must be a pair of speaker and text; it is ${describeValue(item)}`,
        );
      }
      if (speaker === "action") return;
      if (speaker !== "customer" && speaker !== "agent") {
        throw new RowFault(
          "unknown-role",
          `the speaker of turn ${i + 1} is ${describeValue(speaker)}; it must be customer, agent or action`,
        );
      }
      turns.push({ role: speaker === "customer" ? "user" : "assistant", content: text });
    });
    return {
      dialogueId: id === undefined ? undefined : `abcd-${id}`,
      messages: recordedDialogue(turns, context),
      intent: isObject(scenario)
        ? (optionalLabel(scenario, "subflow") ?? optionalLabel(scenario, "flow"))
        : undefined,
    };
  },
} as const satisfies Layout;
