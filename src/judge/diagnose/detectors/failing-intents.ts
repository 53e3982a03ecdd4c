/** Intents whose replies are far below those of the others. */
import { clamp, examplesOf, mean, median, trainingTimes } from "../helpers.ts";
import { sliceComparison } from "../slice-comparison.ts";
import type { Detector } from "../types.ts";

/**
 * Bootstrap intervals of fewer replies are too narrow: among eight intents that are alike, with five to eight replies
 * each, one was called failing in 12–20 % of runs; with fifteen in 2 %.
 */
const fewestReplies = 15;

export const failingIntents: Detector = {
  id: "failing-intents",
  about: { en: "intents that fail", zh: "表现差的意图" },
  detect: ({ evaluation, tuned, settings }) => {
    const own = evaluation?.systems.find(({ kind }) => kind === "tuned");
    const intents = own?.slices.filter(({ by, count }) => by === "intent" && count >= fewestReplies) ?? [];
    if (own === undefined || intents.length < 3) return undefined;
    const usual = median(intents.map(({ rougeL }) => rougeL.score));
    // Where nothing works yet, no intent stands out.
    if (usual < 0.15) return undefined;
    const average = mean(intents.map(({ rougeL }) => rougeL.score));
    const failing = intents
      .filter(({ rougeL }) => rougeL.score < 0.5 * usual && rougeL.high < Math.min(average, 0.85 * usual))
      .sort((a, b) => a.rougeL.score - b.rougeL.score);
    if (failing.length === 0) return undefined;
    const names = new Set(failing.map(({ name }) => name));
    return {
      title: {
        en: `${failing.length} of ${intents.length} intents fail: ${failing
          .slice(0, 3)
          .map(({ name }) => name)
          .join(", ")}`,
        zh: `${intents.length} 个意图中有 ${failing.length} 个表现差：${failing
          .slice(0, 3)
          .map(({ name }) => name)
          .join("、")}`,
      },
      evidence: [
        { name: "median ROUGE-L of the intents", value: 100 * usual, unit: "score" },
        ...failing.slice(0, 6).map(({ name, count, rougeL }) => ({
          name: `ROUGE-L, ${name} (${count})`,
          value: 100 * rougeL.score,
          unit: "score" as const,
          expected: `at least ${(50 * usual).toFixed(1)}`,
        })),
      ],
      picture: sliceComparison(failing.map((slice) => ({ name: slice.name, after: slice }))),
      examples: examplesOf(tuned.filter(({ intent }) => intent !== undefined && names.has(intent))),
      confidence: clamp(0.5 + 0.1 * failing.length, 0, 0.95),
      severity: failing.length > intents.length / 4 ? "high" : "medium",
      remedy: {
        text: {
          en: "Add examples of these intents, or let the data set weigh rare intents more; then train somewhat longer.",
          zh: "为这些意图补充样本，或提高稀有意图的权重；然后适当延长训练。",
        },
        set: [trainingTimes(settings, 1.5)],
        commands: ["attune data prepare DATA MORE --out data/balanced"],
      },
    };
  },
};
