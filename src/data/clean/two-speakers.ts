/** Rule: one message is one speaker's; "Customer: … Agent: …" in one line is turned away. */
import { z } from "zod";
import type { RecordMessage } from "../record.ts";
import { withContent } from "./messages.ts";
import { type RuleDefinition, rejected } from "./rule.ts";

export const TwoSpeakersOptions = z.strictObject({
  enabled: z.boolean().default(true),
});
export type TwoSpeakersOptions = z.infer<typeof TwoSpeakersOptions>;

type Side = "user" | "assistant";

const USER_LABELS = "customer|client|user|human|caller|visitor|客户|顾客|用户|买家|客戶|顧客|用戶|買家";
const ASSISTANT_LABELS =
  "agent|assistant|bot|chatbot|representative|operator|客服|坐席|座席|卖家|机器人|助手|賣家|機器人";
/** At the start of a line in any case; inside a line with a capital or in Chinese, after a space or a stop. */
const LABEL = new RegExp(
  `(?:^|(?<=[\\n\\r\\s.!?。！？;；,，]))(${USER_LABELS}|${ASSISTANT_LABELS})[ \\t]{0,3}[:：]`,
  "gi",
);
const USER_LABEL = new RegExp(`^(?:${USER_LABELS})$`, "i");

interface Label {
  readonly side: Side;
  readonly start: number;
  readonly end: number;
}

const NONE: readonly Label[] = [];

export const twoSpeakers: RuleDefinition<TwoSpeakersOptions> = {
  name: "two-speakers",
  summary: "A message holds the words of one speaker, without a name before them.",
  scope: "record",
  options: TwoSpeakersOptions,
  start(_, __, texts) {
    const labelsOf = texts.slot(findLabels);
    return {
      apply(record, notes, entries) {
        let labelled = 0;
        for (let index = 0; index < record.messages.length; index++) {
          const message = record.messages[index]!;
          if (message.role !== "user" && message.role !== "assistant") continue;
          const labels = labelsOf(entries[index]!);
          if (labels.length === 0) continue;
          const other = labels.find((label) => label.side !== labels[0]!.side);
          const foreign = labels[0]!.start === 0 && labels[0]!.side !== message.role;
          if (other !== undefined || foreign) {
            const reason = foreign && other === undefined ? "wrong-speaker" : "two-speakers";
            const shown = other ?? labels[0]!;
            notes.count(reason, record, () => ({ message: index, start: shown.start, end: shown.end }));
            return rejected(
              reason,
              `message ${index + 1} is the ${message.role}'s and holds "${message.content.slice(shown.start, shown.end)}"`,
            );
          }
          if (labels[0]!.start === 0) labelled += 1;
        }
        if (labelled === 0) return record;
        return withoutLabels(
          record.messages,
          findLabels,
          (index, label) => {
            notes.count("label-removed", record, () => ({
              message: index,
              start: label.start,
              end: label.end,
            }));
          },
          (messages) => ({ ...record, messages }),
          record,
        );
      },
    };
  },
};

/**
 * Removes the labels of a side of which every message has one. One labelled message among others may be an
 * answer ("Agent: Maria Lopez") and stays.
 */
function withoutLabels<R>(
  messages: readonly RecordMessage[],
  labelsOf: (text: string) => readonly Label[],
  removed: (index: number, label: Label) => void,
  changed: (messages: readonly RecordMessage[]) => R,
  unchanged: R,
): R {
  const isLabelled = (message: RecordMessage): boolean => labelsOf(message.content)[0]?.start === 0;
  const all = (side: Side): boolean =>
    messages.every((message) => message.role !== side || isLabelled(message));
  const count = (side: Side): number => messages.filter((message) => message.role === side).length;
  const sides = (["user", "assistant"] as const).filter(
    (side) => all(side) && (count(side) > 1 || (all("user") && all("assistant"))),
  );
  if (sides.length === 0) return unchanged;
  return changed(
    messages.map((message, index) => {
      if (!sides.some((side) => side === message.role)) return message;
      const label = labelsOf(message.content)[0]!;
      const rest = message.content.slice(label.end).trim();
      if (rest === "") return message;
      removed(index, label);
      return withContent(message, rest);
    }),
  );
}

function findLabels(text: string): readonly Label[] {
  if (!text.includes(":") && !text.includes("：")) return NONE;
  const labels: Label[] = [];
  for (const match of text.matchAll(LABEL)) {
    const label = match[1]!;
    const startsLine = match.index === 0 || "\n\r".includes(text.charAt(match.index - 1));
    // "ask your agent: she knows" is a sentence.
    if (!startsLine && /^[a-z]/.test(label)) continue;
    const side = USER_LABEL.test(label) ? "user" : "assistant";
    labels.push({ side, start: match.index, end: match.index + match[0].length });
  }
  return labels;
}
