/** A loss that falls in a nearly straight, nearly flat line: steps too small. */
import { clamp, mean, rateTimes } from "../helpers.ts";
import { lossCurves } from "../pictures.ts";
import type { Detector } from "../types.ts";

// LoRA is trained at 1e-4 to 2e-3; what lies below is worth a question only when little was learned.
const usual = 1e-4;

export const learningRateLow: Detector = {
  id: "learning-rate-low",
  about: { en: "the learning rate is too low", zh: "学习率过低" },
  detect: ({ curves, settings }) => {
    const { steps, evaluations } = curves;
    const { learningRate } = settings.optimizer;
    if (steps.length < 10 || evaluations.length < 2 || learningRate >= usual) return undefined;
    const [first, last] = [evaluations[0]!, evaluations.at(-1)!];
    const middleStep = (first.step + last.step) / 2;
    const middle = evaluations.findLast(({ step }) => step <= middleStep) ?? first;
    const gain = (first.validationLoss - last.validationLoss) / first.validationLoss;
    const best = Math.min(...evaluations.map(({ validationLoss }) => validationLoss));
    const stillBest = last.validationLoss <= best * 1.002;
    const norms = steps.map(({ gradientNorm }) => gradientNorm);
    // As much gradient is left at the end as at the start: nothing was used up.
    const few = Math.max(3, Math.round(steps.length / 5));
    const left = mean(norms.slice(-few)) / Math.max(1e-9, mean(norms.slice(0, few)));
    if (!stillBest || gain > 0.25 || gain < -0.01) return undefined;
    const secondHalf =
      first.validationLoss === last.validationLoss
        ? 0
        : (middle.validationLoss - last.validationLoss) / (first.validationLoss - last.validationLoss);
    const factor = learningRate < 1e-5 ? 30 : 10;
    return {
      title: {
        en: `The learning rate of ${learningRate} is too low: validation loss fell by ${(100 * gain).toFixed(1)} %`,
        zh: `学习率 ${learningRate} 过低：验证损失只下降了 ${(100 * gain).toFixed(1)} %`,
      },
      evidence: [
        { name: "learning rate", value: learningRate, expected: "1e-4 to 2e-3 for LoRA" },
        { name: "fall of the validation loss", value: gain, unit: "share", expected: "above 25 %" },
        {
          name: "share of it in the second half",
          value: secondHalf,
          unit: "share",
          expected: "below a third",
        },
        { name: "gradient norm at the end over that at the start", value: left },
      ],
      picture: lossCurves(curves),
      examples: evaluations.slice(-3).map(({ step, validationLoss }) => ({
        context: `step ${step}`,
        prediction: `validation loss ${validationLoss.toFixed(4)}`,
      })),
      confidence: clamp(0.55 + (0.25 - gain) + (secondHalf > 0.33 ? 0.15 : 0), 0, 0.97),
      severity: "high",
      remedy: {
        text: { en: `Raise the learning rate ${factor} times.`, zh: `将学习率提高到 ${factor} 倍。` },
        set: [rateTimes(settings, factor)],
      },
    };
  },
};
