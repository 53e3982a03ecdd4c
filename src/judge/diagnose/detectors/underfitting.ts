/** Validation loss was still falling when the run ended. */
import { clamp, rateTimes, trainingTimes } from "../helpers.ts";
import { lossCurves } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const underfitting: Detector = {
  id: "underfitting",
  about: { en: "the run ended while validation loss was still falling", zh: "训练结束时验证损失仍在下降" },
  detect: ({ curves, settings }) => {
    const { evaluations, finished } = curves;
    if (evaluations.length < 3 || finished?.reason !== "completed") return undefined;
    const [first, last] = [evaluations[0]!, evaluations.at(-1)!];
    if (evaluations.some(({ validationLoss }) => validationLoss < last.validationLoss)) return undefined;
    const total = first.validationLoss - last.validationLoss;
    const lateFrom = first.step + (last.step - first.step) * 0.6;
    const late = evaluations.findLast(({ step }) => step <= lateFrom) ?? first;
    const span = (last.step - late.step) / Math.max(1, last.step - first.step);
    const recent = late.validationLoss - last.validationLoss;
    // A curve that has levelled off gains a few per cent of the whole in its last two fifths.
    const share = total <= 0 ? 0 : recent / total;
    if (share < 0.12 || recent < 0.015 * last.validationLoss || span <= 0) return undefined;
    return {
      title: {
        en: `Underfitting: the last ${(100 * span).toFixed(0)} % of the run still brought ${(100 * share).toFixed(0)} % of the gain`,
        zh: `欠拟合：最后 ${(100 * span).toFixed(0)} % 的训练仍带来 ${(100 * share).toFixed(0)} % 的改进`,
      },
      evidence: [
        { name: "validation loss before", value: first.validationLoss, unit: "nats" },
        { name: `validation loss at step ${late.step}`, value: late.validationLoss, unit: "nats" },
        { name: "validation loss at the end", value: last.validationLoss, unit: "nats" },
        { name: "share of the gain at the end", value: share, unit: "share", expected: "below 12 %" },
      ],
      picture: lossCurves(curves, { step: late.step, name: "still falling from here" }),
      examples: evaluations.slice(-3).map(({ step, validationLoss }) => ({
        context: `step ${step}`,
        prediction: `validation loss ${validationLoss.toFixed(4)}`,
      })),
      confidence: clamp(0.5 + share, 0, 0.97),
      severity: share > 0.3 ? "high" : "medium",
      remedy: {
        text: {
          en: "Train twice as long; early stopping ends the run when nothing more comes of it.",
          zh: "训练时间加倍；若不再改进，提前停止会自动结束训练。",
        },
        set: [
          trainingTimes(settings, 2),
          ...(settings.optimizer.learningRate < 1e-4 ? [rateTimes(settings, 3)] : []),
        ],
      },
    };
  },
};
