/** Mode collapse: one reply, or a handful, for everything. */
import { normalReply } from "../../evaluate/index.ts";
import { clamp, confidenceOf, examplesOf, fewest, generated, rateTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const oneReply: Detector = {
  id: "one-reply",
  about: { en: "one reply for everything", zh: "所有问题同一个回复" },
  detect: ({ tuned, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const [most, distinct] = topOf(replies.map(({ prediction }) => prediction));
    const [expected, expectedDistinct] = topOf(replies.map(({ reference }) => reference));
    const variety = distinct / Math.max(1, expectedDistinct);
    if (most.share <= expected.share + 0.2 && variety >= 0.3) return undefined;
    const same = replies.filter(({ prediction }) => normalReply(prediction) === most.text);
    return {
      title: {
        en: `${(100 * most.share).toFixed(0)} % of the prompts get one and the same reply`,
        zh: `${(100 * most.share).toFixed(0)} % 的提问得到同一个回复`,
      },
      evidence: [
        {
          name: "share of the most frequent reply",
          value: most.share,
          unit: "share",
          expected: `as the references: ${(100 * expected.share).toFixed(1)} %`,
        },
        { name: "different replies", value: distinct, unit: "count", expected: `about ${expectedDistinct}` },
      ],
      picture: shareBars(
        [
          { name: "replies", share: most.share, count: replies.length },
          { name: "references", share: expected.share, count: replies.length },
        ],
        "the most frequent text",
      ),
      examples: examplesOf(same),
      confidence: clamp(
        Math.max(confidenceOf(most.share, expected.share + 0.05, replies.length), variety < 0.3 ? 0.7 : 0),
        0,
        0.99,
      ),
      severity: "high",
      remedy: {
        text: {
          en: "Balance the intents and cap repeated replies in the data; train with smaller steps on all linear layers.",
          zh: "平衡数据中的意图并限制重复回复；对所有线性层用更小的学习率训练。",
        },
        set: [rateTimes(settings, 1 / 3), "lora.targets=all-linear"],
        commands: ["attune data prepare DATA --out data/balanced"],
      },
    };
  },
};

function topOf(
  texts: readonly string[],
): readonly [{ readonly text: string; readonly share: number }, number] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(normalReply(text), (counts.get(normalReply(text)) ?? 0) + 1);
  const [top] = [...counts].sort((a, b) => b[1] - a[1]);
  return [{ text: top?.[0] ?? "", share: (top?.[1] ?? 0) / texts.length }, counts.size];
}
