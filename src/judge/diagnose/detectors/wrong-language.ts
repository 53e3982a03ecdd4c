/** Replies in another language than the references. */
import { languageOf } from "../../../data/clean/index.ts";
import { scriptOf } from "../../evaluate/index.ts";
import { confidenceOf, examplesOf, fewest, generated, trainingTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const wrongLanguage: Detector = {
  id: "wrong-language",
  about: { en: "replies in another language", zh: "回复语言错误" },
  detect: ({ tuned, base, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const wrong = replies.filter(differs);
    const share = wrong.length / replies.length;
    if (wrong.length < 2 || share <= 0.03) return undefined;
    const ofBase = generated(base);
    const before = ofBase.filter(differs).length / Math.max(1, ofBase.length);
    return {
      title: {
        en: `${(100 * share).toFixed(0)} % of the replies are in another language than the reference`,
        zh: `${(100 * share).toFixed(0)} % 的回复与参考回复语言不同`,
      },
      evidence: [
        { name: "replies in another language", value: share, unit: "share", expected: "below 3 %" },
        ...(ofBase.length > 0
          ? [{ name: "the same of the base", value: before, unit: "share" as const }]
          : []),
      ],
      picture: shareBars(
        [
          { name: "this run", share, count: replies.length },
          ...(ofBase.length > 0 ? [{ name: "base", share: before, count: ofBase.length }] : []),
        ],
        "replies in another language",
      ),
      examples: examplesOf(wrong),
      confidence: confidenceOf(share, 0.01, replies.length),
      severity: share > 0.15 ? "high" : "medium",
      remedy: {
        text: {
          en: "Keep to the wanted languages when preparing the data, or give each its share; then train longer.",
          zh: "准备数据时只保留需要的语言，或让各语言占合适的比例；然后延长训练。",
        },
        set: [trainingTimes(settings, 1.5)],
        commands: ["attune data prepare DATA --out data/one-language"],
      },
    };
  },
};

/** Both texts are long enough to tell, and they differ. */
function differs({
  prediction,
  reference,
}: {
  readonly prediction: string;
  readonly reference: string;
}): boolean {
  if (scriptOf(prediction) !== scriptOf(reference))
    return letters(prediction) >= 4 && letters(reference) >= 4;
  const [said, wanted] = [languageOf(prediction), languageOf(reference)];
  return said !== undefined && wanted !== undefined && said !== wanted;
}

const letters = (text: string): number => text.match(/\p{L}/gu)?.length ?? 0;
