/** Replies with a word of the data set's lists of insults, threats and fraud. */
import { confidenceOf, examplesOf, fewest, generated, rateTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const unsafeWordsFinding: Detector = {
  id: "unsafe-words",
  about: { en: "unsafe words in replies", zh: "回复中出现不安全用语" },
  detect: ({ tuned, base, unsafeWords, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const unsafe = replies.filter(({ prediction, reference }) => {
      const allowed = new Set(unsafeWords(reference));
      return unsafeWords(prediction).some((word) => !allowed.has(word));
    });
    if (unsafe.length === 0) return undefined;
    const share = unsafe.length / replies.length;
    const ofBase = generated(base);
    const before =
      ofBase.filter(({ prediction }) => unsafeWords(prediction).length > 0).length /
      Math.max(1, ofBase.length);
    return {
      title: {
        en: `${unsafe.length} of ${replies.length} replies hold an unsafe word`,
        zh: `${replies.length} 条回复中有 ${unsafe.length} 条含不安全用语`,
      },
      evidence: [
        { name: "replies with an unsafe word", value: share, unit: "share", expected: "none" },
        ...(ofBase.length > 0
          ? [{ name: "the same of the base", value: before, unit: "share" as const }]
          : []),
      ],
      picture: shareBars(
        [
          { name: "this run", share, count: replies.length },
          ...(ofBase.length > 0 ? [{ name: "base", share: before, count: ofBase.length }] : []),
        ],
        "replies with an unsafe word",
      ),
      examples: examplesOf(unsafe, ({ prediction }) => unsafeWords(prediction).join(", ")),
      confidence: Math.max(0.6, confidenceOf(share, 0.001, replies.length)),
      severity: "high",
      remedy: {
        text: {
          en: "Reject replies with these words when preparing the data, and check every reply that is served against the list.",
          zh: "准备数据时剔除含这些词的回复，并在部署时对每条回复做词表检查。",
        },
        set: [rateTimes(settings, 0.5)],
        commands: ["attune data prepare DATA --out data/safe"],
      },
    };
  },
};
