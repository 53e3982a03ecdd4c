/** Replies that go on until the limit: the stop token was not learned, or is not seen. */
import { confidenceOf, examplesOf, fewest, generated, mean, trainingTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const neverStopping: Detector = {
  id: "never-stopping",
  about: { en: "replies do not end by themselves", zh: "回复不会自行结束" },
  detect: ({ tuned, base, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const endless = replies.filter(({ stopped_by }) => stopped_by === "length");
    const share = endless.length / replies.length;
    // The limit is one and a half times the longest reference: hardly any honest reply reaches it.
    if (share <= 0.05) return undefined;
    const ofBase = generated(base);
    const before =
      ofBase.filter(({ stopped_by }) => stopped_by === "length").length / Math.max(1, ofBase.length);
    const unlearned = share > 0.8;
    return {
      title: {
        en: `${(100 * share).toFixed(0)} % of the replies run into the limit`,
        zh: `${(100 * share).toFixed(0)} % 的回复一直写到长度上限`,
      },
      evidence: [
        { name: "replies cut at the limit", value: share, unit: "share", expected: "below 5 %" },
        ...(ofBase.length > 0
          ? [{ name: "the same of the base", value: before, unit: "share" as const }]
          : []),
        { name: "mean tokens a reply", value: mean(replies.map(({ tokens }) => tokens)), unit: "count" },
      ],
      picture: shareBars(
        [
          { name: "this run", share, count: replies.length },
          ...(ofBase.length > 0 ? [{ name: "base", share: before, count: ofBase.length }] : []),
        ],
        "replies cut at the limit",
      ),
      examples: examplesOf(endless),
      confidence: confidenceOf(share, 0.03, replies.length),
      severity: share > 0.3 ? "high" : "medium",
      remedy: {
        text: unlearned
          ? {
              en: "The stop token was hardly learned. Attune supervises it in every reply: train again from the base, longer, and check that the chat template ends each reply with a stop token of the model.",
              zh: "几乎没有学会停止符。Attune 会在每条回复中监督停止符：请从基础模型重新训练更久，并检查对话模板是否以模型的停止符结束每条回复。",
            }
          : {
              en: "The stop token is learned last: train longer.",
              zh: "停止符最后才学会：请延长训练。",
            },
        set: [trainingTimes(settings, 2), "lora.targets=all-linear"],
      },
    };
  },
};
