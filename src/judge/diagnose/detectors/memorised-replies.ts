/** Training replies come back word for word, and training loss lies far below validation loss. */
import { normalReply } from "../../evaluate/index.ts";
import { clamp, examplesOf, fewest, round, trainingTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

/** Different replies known by heart. */
const fewestTexts = 5;

export const memorisedReplies: Detector = {
  id: "memorised-replies",
  about: { en: "training replies are known by heart", zh: "训练回复被逐字背下" },
  detect: ({ trainingSample, tuned, settings }) => {
    if (trainingSample === undefined || trainingSample.predictions.length < fewest || tuned.length < fewest)
      return undefined;
    const equal = (one: { prediction: string; reference: string }): boolean =>
      normalReply(one.prediction) === normalReply(one.reference);
    const learned = trainingSample.predictions.filter(equal);
    // A text that most of the data share is no memory of one of them: that is the finding of one reply for everything.
    if (new Set(learned.map(({ reference }) => normalReply(reference))).size < fewestTexts) return undefined;
    // Held-out replies that stand in training too say nothing of what is new; where all do, they are all there is.
    const fresh = tuned.filter(({ seen }) => !seen);
    const unseen = fresh.length >= fewest ? fresh : tuned;
    const known = learned.length / trainingSample.predictions.length;
    const heldOut = unseen.filter(equal).length / unseen.length;
    const { trainingLoss, validationLoss } = trainingSample;
    const gap = (validationLoss - trainingLoss) / Math.max(1e-9, validationLoss);
    if (known - heldOut < 0.25 || gap < 0.35) return undefined;
    return {
      title: {
        en: `${(100 * known).toFixed(0)} % of training replies are given word for word; of new ones ${(100 * heldOut).toFixed(0)} %`,
        zh: `${(100 * known).toFixed(0)} % 的训练回复被逐字复述，新回复中只有 ${(100 * heldOut).toFixed(0)} %`,
      },
      evidence: [
        { name: "training replies given word for word", value: known, unit: "share" },
        { name: "held-out replies given word for word", value: heldOut, unit: "share" },
        { name: "training loss without dropout", value: trainingLoss, unit: "nats" },
        {
          name: "validation loss",
          value: validationLoss,
          unit: "nats",
          expected: "at most half as much again",
        },
      ],
      picture: shareBars(
        [
          { name: "training", share: known, count: trainingSample.predictions.length },
          { name: "held out", share: heldOut, count: unseen.length },
        ],
        "replies equal to the reference",
      ),
      examples: examplesOf(learned),
      confidence: clamp(0.4 + (known - heldOut) / 2 + gap / 2, 0, 0.99),
      severity: known > 0.6 ? "high" : "medium",
      remedy: {
        text: {
          en: "Fewer passes, more dropout and half the rank leave less room to learn by heart; distinct replies in the data help most.",
          zh: "减少训练轮数、增大 dropout、将秩减半，可减少死记硬背；最有效的是让数据中的回复更多样。",
        },
        set: [
          trainingTimes(settings, 0.5),
          `lora.dropout=${Math.max(0.2, settings.lora.dropout)}`,
          `lora.rank=${Math.max(1, Math.round(settings.lora.rank / 2))}`,
        ].map((pair) => pair.replace(/=([\d.]+)$/, (_, value: string) => `=${round(Number(value))}`)),
      },
    };
  },
};
