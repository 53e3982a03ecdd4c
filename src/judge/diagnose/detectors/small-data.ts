/** Fewer training replies than a model needs to answer well. */
import { clamp, examplesOf } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

/** The number of clean replies below which results are rarely good. */
const wanted = 10_000;

/** A gap of so much comes of which replies were drawn: runs that had hardly learned showed 1–5 %, one of them 9 % below. */
const noise = 0.05;

export const smallData: Detector = {
  id: "small-data",
  about: {
    en: `fewer than ${wanted.toLocaleString("en")} training replies`,
    zh: `训练回复少于 ${wanted} 条`,
  },
  detect: ({ trainingReplies, trainingSample, tuned, settings }) => {
    if (trainingReplies === 0 || trainingReplies >= wanted) return undefined;
    const gap =
      trainingSample === undefined
        ? undefined
        : (trainingSample.validationLoss - trainingSample.trainingLoss) / trainingSample.validationLoss;
    // New replies cost no more than learned ones: nothing was learned yet that more data would carry over.
    if (gap !== undefined && gap < noise) return undefined;
    // Whether more data would help is seen in the gap between what was learned and what is new.
    const confidence = clamp(0.35 + 0.3 * (1 - trainingReplies / wanted) + (gap ?? 0) * 0.6, 0.2, 0.95);
    return {
      title: {
        en: `${trainingReplies.toLocaleString("en")} training replies; ${wanted.toLocaleString("en")} are wanted`,
        zh: `只有 ${trainingReplies} 条训练回复，建议至少 ${wanted} 条`,
      },
      evidence: [
        { name: "training replies", value: trainingReplies, unit: "count", expected: `at least ${wanted}` },
        ...(gap === undefined
          ? []
          : [
              {
                name: "validation loss above training loss",
                value: gap,
                unit: "share" as const,
                expected: "below 15 %: then more data would add little",
              },
            ]),
      ],
      picture: shareBars(
        [
          { name: "present", share: trainingReplies / wanted },
          { name: "wanted", share: 1 },
        ],
        "training replies",
      ),
      // What more data would have had to show it.
      examples: examplesOf(
        tuned.filter(({ seen }) => !seen),
        () => "its reference stands nowhere in training",
      ),
      confidence,
      severity: gap !== undefined && gap < 0.15 ? "low" : "medium",
      remedy: {
        text: {
          en: "Collect more dialogues, or mix in public ones of the same kind. Until then more dropout makes the most of these.",
          zh: "收集更多对话，或混入同类公开数据；在此之前可增大 dropout 以充分利用现有数据。",
        },
        set: [`lora.dropout=${Math.max(0.15, settings.lora.dropout)}`],
        commands: ["attune data prepare OWN.jsonl MORE.jsonl --out data/larger"],
      },
    };
  },
};
