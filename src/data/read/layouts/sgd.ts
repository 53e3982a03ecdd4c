/** Schema-Guided Dialogue (dialogues_NNN.json): an array of dialogues whose turns carry frames. */
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import { corpusId, recordedDialogue, requireTurn, turnText } from "./dialogue.ts";
import { optionalLabel, requireList, requireObject } from "./fields.ts";
import { detectBy, isObject, own, type Layout, type RowObject } from "./layout.ts";

export const sgd = {
  name: "sgd",
  title: "Schema-Guided Dialogue",
  fields: [],
  detect: detectBy("`turns` with `speaker`, `utterance` and `frames`", (row) => {
    const turns = own(row, "turns");
    const first = Array.isArray(turns) ? (turns as unknown[])[0] : undefined;
    return isObject(first) && ["speaker", "utterance", "frames"].every((name) => Object.hasOwn(first, name));
  }),
  map(value, context) {
    const row = requireObject(value);
    const id = optionalLabel(row, "dialogue_id");
    let intent: string | undefined;
    const turns = requireList(row, "turns").map((item, i): RecordMessage => {
      const turn = requireTurn(item, i + 1);
      const speaker = turnText(turn, "speaker", i + 1);
      if (speaker !== "USER" && speaker !== "SYSTEM") {
        throw new RowFault(
          "unknown-role",
          `the speaker of turn ${i + 1} is ${describeValue(speaker)}; it must be USER or SYSTEM`,
        );
      }
      if (speaker === "USER") intent = userIntent(turn) ?? intent;
      return {
        role: speaker === "USER" ? "user" : "assistant",
        content: turnText(turn, "utterance", i + 1),
        ...(intent === undefined ? {} : { intent }),
      };
    });
    return {
      dialogueId: id === undefined ? undefined : corpusId("sgd", context.file, id),
      messages: recordedDialogue(turns, context),
    };
  },
} as const satisfies Layout;

/**
 * What the user wants in this turn: the intent that is new, else the active one. A turn without any
 * ("thanks") goes on with the intent before it.
 */
function userIntent(turn: RowObject): string | undefined {
  const frames = own(turn, "frames");
  if (!Array.isArray(frames)) return undefined;
  let active: string | undefined;
  let announced: string | undefined;
  for (const frame of frames as unknown[]) {
    if (!isObject(frame)) continue;
    const state = own(frame, "state");
    const intent = isObject(state) ? own(state, "active_intent") : undefined;
    if (typeof intent === "string" && intent !== "NONE" && intent !== "") active = intent;
    const actions = own(frame, "actions");
    for (const action of Array.isArray(actions) ? (actions as unknown[]) : []) {
      if (!isObject(action) || own(action, "act") !== "INFORM_INTENT") continue;
      const values = own(action, "values");
      const first: unknown = Array.isArray(values) ? values[0] : undefined;
      if (typeof first === "string") announced = first;
    }
  }
  return announced ?? active;
}
