/** Replies that say back what the customer just said. */
import { copyOfEarlierTurn } from "../../metrics/index.ts";
import { confidenceOf, examplesOf, fewest, generated, rateTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const copiedQuestion: Detector = {
  id: "copied-question",
  about: { en: "replies repeat the question", zh: "回复照抄提问" },
  detect: ({ tuned, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const copies = (text: string, context: (typeof replies)[number]["context"]): boolean =>
      copyOfEarlierTurn(text, context)?.role === "user" || containsLast(text, context.at(-1)?.content ?? "");
    const copying = replies.filter(({ prediction, context }) => copies(prediction, context));
    const share = copying.length / replies.length;
    const expected =
      replies.filter(({ reference, context }) => copies(reference, context)).length / replies.length;
    if (copying.length < 2 || share <= expected + 0.03) return undefined;
    return {
      title: {
        en: `${(100 * share).toFixed(0)} % of the replies repeat what the customer said`,
        zh: `${(100 * share).toFixed(0)} % 的回复照抄客户的话`,
      },
      evidence: [
        {
          name: "replies that repeat the customer",
          value: share,
          unit: "share",
          expected: `as the references: ${(100 * expected).toFixed(1)} %`,
        },
      ],
      picture: shareBars(
        [
          { name: "replies", share, count: replies.length },
          { name: "references", share: expected, count: replies.length },
        ],
        "texts that repeat the customer",
      ),
      examples: examplesOf(copying),
      confidence: confidenceOf(share, expected + 0.01, replies.length),
      severity: share > 0.15 ? "high" : "medium",
      remedy: {
        text: {
          en: "Mark where a turn ends by a separator, and leave replies that echo the question out of the data.",
          zh: "用分隔符标出每轮的边界，并从数据中去掉照抄提问的回复。",
        },
        set: [
          ...(settings.template.separator === undefined ? ["template.separator=<sep>"] : []),
          rateTimes(settings, 0.5),
        ],
        commands: ["attune data prepare DATA --out data/clean"],
      },
    };
  },
};

/** A sentence of some length stands inside the reply as a whole. */
function containsLast(reply: string, question: string): boolean {
  const bare = (text: string): string => text.toLowerCase().replace(/[\p{P}\p{Z}\s]+/gu, "");
  const asked = bare(question);
  return asked.length >= 12 && bare(reply).includes(asked);
}
