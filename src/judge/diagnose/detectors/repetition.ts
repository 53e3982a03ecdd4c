/** Replies that turn in circles, against how often the references do. */
import { consecutiveRepeat, repetitionN } from "../../metrics/index.ts";
import { confidenceOf, examplesOf, fewest, generated, mean, rateTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const repetition: Detector = {
  id: "repetition",
  about: { en: "replies repeat themselves", zh: "回复自我重复" },
  detect: ({ tuned, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const stuck = (text: string): boolean => consecutiveRepeat(text).times >= 3;
    const circling = replies.filter(({ prediction }) => stuck(prediction));
    const share = circling.length / replies.length;
    const expected = replies.filter(({ reference }) => stuck(reference)).length / replies.length;
    const rep4 = mean(replies.map(({ prediction }) => repetitionN(prediction, 4)));
    const own = mean(replies.map(({ reference }) => repetitionN(reference, 4)));
    if (share <= expected + 0.03 && rep4 <= 2 * own + 0.05) return undefined;
    return {
      title: {
        en: `${(100 * share).toFixed(0)} % of the replies repeat a phrase three times or more`,
        zh: `${(100 * share).toFixed(0)} % 的回复把同一短语重复三次以上`,
      },
      evidence: [
        {
          name: "replies stuck in a phrase",
          value: share,
          unit: "share",
          expected: `as the references: ${(100 * expected).toFixed(1)} %`,
        },
        {
          name: "repeated 4-grams (rep-4)",
          value: rep4,
          unit: "share",
          expected: `as the references: ${(100 * own).toFixed(1)} %`,
        },
      ],
      picture: shareBars(
        [
          { name: "replies", share, count: replies.length },
          { name: "references", share: expected, count: replies.length },
        ],
        "texts stuck in a phrase",
      ),
      examples: examplesOf(circling, ({ prediction }) => {
        const { phrase, times } = consecutiveRepeat(prediction);
        return `${phrase} × ${Math.round(times)}`;
      }),
      confidence: Math.max(
        confidenceOf(share, expected + 0.01, replies.length),
        rep4 > 2 * own + 0.05 ? 0.6 : 0,
      ),
      severity: share > 0.15 ? "high" : "medium",
      remedy: {
        text: {
          en: "Smaller steps over all linear layers; when serving, a repetition penalty of 1.1 hides what is left.",
          zh: "对所有线性层使用更小的步长；部署时可加 1.1 的重复惩罚。",
        },
        set: [rateTimes(settings, 1 / 3), "lora.targets=all-linear"],
      },
    };
  },
};
