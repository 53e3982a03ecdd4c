/** Replies without a visible character. */
import { confidenceOf, examplesOf, fewest, generated, rateTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const emptyReplies: Detector = {
  id: "empty-replies",
  about: { en: "replies are empty", zh: "回复为空" },
  detect: ({ tuned, base, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const isEmpty = ({ prediction }: { prediction: string }): boolean => !/[\p{L}\p{N}]/u.test(prediction);
    const empty = replies.filter(isEmpty);
    const share = empty.length / replies.length;
    if (empty.length < 2 || share <= 0.01) return undefined;
    const ofBase = generated(base);
    const before = ofBase.filter(isEmpty).length / Math.max(1, ofBase.length);
    return {
      title: {
        en: `${(100 * share).toFixed(1)} % of the replies are empty`,
        zh: `${(100 * share).toFixed(1)} % 的回复为空`,
      },
      evidence: [
        { name: "empty replies", value: share, unit: "share", expected: "none" },
        ...(ofBase.length > 0
          ? [{ name: "the same of the base", value: before, unit: "share" as const }]
          : []),
      ],
      picture: shareBars(
        [
          { name: "this run", share, count: replies.length },
          ...(ofBase.length > 0 ? [{ name: "base", share: before, count: ofBase.length }] : []),
        ],
        "empty replies",
      ),
      examples: examplesOf(empty),
      confidence: confidenceOf(share, 0.001, replies.length),
      severity: share > 0.1 ? "high" : "medium",
      remedy: {
        text: {
          en: "Take very short replies out of the data, and train with smaller steps.",
          zh: "从数据中去掉过短的回复，并用更小的学习率训练。",
        },
        set: [rateTimes(settings, 1 / 3)],
        commands: ["attune data check DATA"],
      },
    };
  },
};
