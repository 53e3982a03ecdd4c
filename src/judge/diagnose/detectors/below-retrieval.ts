/** Looking up the nearest training reply does better than the model. */
import { metricChart, normalReply } from "../../evaluate/index.ts";
import { clamp, examplesOf, trainingTimes } from "../helpers.ts";
import type { Detector } from "../types.ts";

export const belowRetrieval: Detector = {
  id: "below-retrieval",
  about: { en: "looking replies up does better", zh: "检索比模型更好" },
  detect: ({ evaluation, tuned, settings }) => {
    const own = evaluation?.systems.find(({ kind }) => kind === "tuned");
    const lookup = evaluation?.systems.find(({ kind }) => kind === "retrieval");
    if (evaluation === undefined || own === undefined || lookup === undefined) return undefined;
    const [mine, theirs] = [own.metrics.bleu4, lookup.metrics.bleu4];
    if (theirs.low <= mine.high) return undefined;
    return {
      title: {
        en: `Retrieval scores BLEU-4 ${theirs.score.toFixed(1)}, the run ${mine.score.toFixed(1)}`,
        zh: `检索的 BLEU-4 为 ${theirs.score.toFixed(1)}，本模型为 ${mine.score.toFixed(1)}`,
      },
      evidence: [
        {
          name: "BLEU-4 of the run",
          value: mine.score,
          unit: "score",
          expected: `above ${theirs.score.toFixed(1)}`,
        },
        { name: "BLEU-4 of the nearest training reply", value: theirs.score, unit: "score" },
        {
          name: "replies that stand word for word in training",
          value: evaluation.data.seenShare,
          unit: "share",
        },
      ],
      picture: metricChart(evaluation, "bleu4"),
      examples: examplesOf(tuned.filter((one) => normalReply(one.prediction) !== normalReply(one.reference))),
      confidence: clamp(0.6 + (theirs.score - mine.score) / 50, 0, 0.97),
      severity: "medium",
      remedy: {
        text: {
          en: "The model has not learned what the data hold: train longer, on all linear layers, with a larger rank.",
          zh: "模型尚未学会数据中的内容：请延长训练、覆盖所有线性层并增大秩。",
        },
        set: [
          trainingTimes(settings, 2),
          "lora.targets=all-linear",
          `lora.rank=${Math.min(256, settings.lora.rank * 2)}`,
        ],
      },
    };
  },
};
