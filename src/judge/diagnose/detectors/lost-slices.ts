/** Slices on which the run is worse than its base. */
import { type Markup, intervalChart } from "../../../util/html/index.ts";
import { excerpt } from "../../../util/index.ts";
import {
  type PredictionRecord,
  type SliceFigures,
  type SystemFigures,
  depthGroup,
  lengthGroup,
  scriptOf,
} from "../../evaluate/index.ts";
import { clamp, examplesOf, rateTimes } from "../helpers.ts";
import { sliceComparison } from "../slice-comparison.ts";
import type { Detector } from "../types.ts";

const fewestReplies = 8;

/**
 * A base above it never knew the language of a general text, and cannot forget it: frequencies of its words alone give
 * 270 for the English text and 328 for the Chinese one (with the embedded tokenizer; the embedded model has 749 and 1,778).
 */
const unknownAbove = 250;

export const lostSlices: Detector = {
  id: "lost-slices",
  about: { en: "worse than the base on a part of the prompts", zh: "在部分提问上不如基础模型" },
  detect: ({ evaluation, tuned, base: ofBase, settings }) => {
    const base = evaluation?.systems.find(({ kind }) => kind === "base");
    const own = evaluation?.systems.find(({ kind }) => kind === "tuned");
    if (base === undefined || own === undefined) return undefined;
    const lost = own.slices.flatMap((slice) => {
      const before = sliceOf(base, slice);
      return before !== undefined && isLost(before, slice) ? [{ before, slice }] : [];
    });
    const general = Object.entries(own.general).flatMap(([name, { perplexity }]) => {
      const before = base.general[name]?.perplexity;
      return before !== undefined && before < unknownAbove && perplexity > 1.5 * before
        ? [{ name, before, perplexity }]
        : [];
    });
    if (lost.length === 0 && general.length === 0) return undefined;
    const worst = lost.toSorted(
      (a, b) => a.slice.bleu4.score - a.before.bleu4.score - (b.slice.bleu4.score - b.before.bleu4.score),
    );
    const said = new Map(ofBase.map(({ id, prediction }) => [id, prediction]));
    const affected = tuned.filter((one) => worst.some(({ slice }) => isIn(one, slice)));
    const different = affected.filter(({ prediction, reference }) => prediction !== reference);
    return {
      title:
        lost.length > 0
          ? {
              en: `Worse than the base on ${lost.length} of ${own.slices.length} parts: ${worst
                .slice(0, 3)
                .map(({ slice }) => `${slice.by} ${slice.name}`)
                .join(", ")}`,
              zh: `在 ${own.slices.length} 个切片中有 ${lost.length} 个不如基础模型：${worst
                .slice(0, 3)
                .map(({ slice }) => `${slice.by} ${slice.name}`)
                .join("、")}`,
            }
          : {
              en: "General language was forgotten: its perplexity rose by more than half",
              zh: "遗忘了通用语言能力：通用文本困惑度上升超过一半",
            },
      evidence: [
        ...worst.slice(0, 6).flatMap(({ before, slice }) => [
          {
            name: `BLEU-4, ${slice.by} ${slice.name} (${slice.count})`,
            value: slice.bleu4.score,
            unit: "score" as const,
            expected: `base ${before.bleu4.score.toFixed(2)}`,
          },
        ]),
        ...general.map(({ name, before, perplexity }) => ({
          name: `perplexity of general text, ${name}`,
          value: perplexity,
          unit: "score" as const,
          expected: `base ${before.toFixed(1)}`,
        })),
      ],
      picture:
        worst.length > 0
          ? sliceComparison(
              worst.map(({ before, slice }) => ({
                name: `${slice.by} ${slice.name}`,
                before,
                after: slice,
              })),
            )
          : perplexityBars(general),
      examples: examplesOf(
        different.length > 0 ? different : tuned,
        ({ id }) => `base: ${excerpt(said.get(id) ?? "–", 240)}`,
      ),
      confidence: clamp(0.5 + 0.1 * lost.length + (general.length > 0 ? 0.25 : 0), 0, 0.97),
      severity: general.length > 0 || lost.length > 2 ? "high" : "medium",
      remedy: {
        text: {
          en: "Smaller steps and a smaller adapter keep more of the base; more examples of the lost parts bring them back.",
          zh: "更小的步长和更小的适配器能保留更多原有能力；为变差的部分补充样本。",
        },
        set: [rateTimes(settings, 1 / 3), `lora.rank=${Math.max(1, Math.round(settings.lora.rank / 2))}`],
        commands: ["attune data prepare DATA --out data/balanced"],
      },
    };
  },
};

/** General texts before and after. */
function perplexityBars(
  texts: readonly { readonly name: string; readonly before: number; readonly perplexity: number }[],
): Markup {
  const row = (name: string, score: number, tone: number) => ({ name, score, low: score, high: score, tone });
  return intervalChart(
    texts.flatMap(({ name, before, perplexity }) => [
      row(`${name} · base`, before, 5),
      row(`${name} · run`, perplexity, 0),
    ]),
    { label: "perplexity of general text", unit: "perplexity, lower is better", digits: 1 },
  );
}

function isIn({ intent, depth, seen, reference }: PredictionRecord, { by, name }: SliceFigures): boolean {
  switch (by) {
    case "intent":
      return intent === name;
    case "depth":
      return depthGroup(depth) === name;
    case "length":
      return lengthGroup(reference) === name;
    case "seen":
      return (seen ? "seen" : "unseen") === name;
    case "script":
      return scriptOf(reference) === name;
  }
}

function sliceOf(system: SystemFigures, { by, name }: SliceFigures): SliceFigures | undefined {
  return system.slices.find((slice) => slice.by === by && slice.name === name);
}

/** Clearly below in BLEU, or in perplexity, on enough replies. */
function isLost(before: SliceFigures, after: SliceFigures): boolean {
  if (after.count < fewestReplies) return false;
  if (after.bleu4.high < before.bleu4.low && before.bleu4.score > 1) return true;
  const [a, b] = [after.perplexity, before.perplexity];
  return a !== undefined && b !== undefined && a.low > b.high;
}
