/** Bitext's customer-support sets: `instruction`, `response`, `intent`; placeholders such as {{Order Number}} stay. */
import { optionalLabel, requireObject, requireText } from "./fields.ts";
import { detectBy, own, type Layout } from "./layout.ts";

export const bitext = {
  name: "bitext",
  title: "Bitext customer support",
  fields: ["instruction", "response", "intent", "category"],
  detect: detectBy(
    "`instruction`, `response` and `intent` (text)",
    (row) =>
      ["instruction", "response", "intent"].every((name) => typeof own(row, name) === "string") &&
      typeof own(row, "output") !== "string",
  ),
  map(value) {
    const row = requireObject(value);
    return {
      messages: [
        { role: "user", content: requireText(row, "instruction") },
        { role: "assistant", content: requireText(row, "response") },
      ],
      intent: optionalLabel(row, "intent") ?? optionalLabel(row, "category"),
    };
  },
} as const satisfies Layout;
