/** MultiDoGO's annotated splits: known, and of no use, because they hold only what customers said. */
import { RowFault } from "../fault.ts";
import { detectBy, type Layout } from "./layout.ts";

const REFUSAL =
  "these files hold only the customers' turns, no replies of an agent, so there is nothing to learn to answer";

export const multidogo = {
  name: "multidogo",
  title: "MultiDoGO's annotated splits",
  fields: [],
  detect: detectBy("`conversationId`, `turnNumber`, `utterance` and `slot-labels`", (row) =>
    ["conversationId", "turnNumber", "utterance", "slot-labels"].every((name) => Object.hasOwn(row, name)),
  ),
  map() {
    throw new RowFault("no-reply", REFUSAL);
  },
  refusal: REFUSAL,
} as const satisfies Layout;
