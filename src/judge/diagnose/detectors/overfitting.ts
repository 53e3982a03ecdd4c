/** Validation loss rises while training loss falls. */
import { clamp, rateTimes, round, trainingLossAt } from "../helpers.ts";
import { lossCurves } from "../pictures.ts";
import type { Detector } from "../types.ts";

// Validation losses of healthy runs waver by about one per cent.
const rise = 0.03;

export const overfitting: Detector = {
  id: "overfitting",
  about: { en: "validation loss rises while training loss falls", zh: "训练损失下降而验证损失上升" },
  detect: ({ curves, settings }) => {
    const { evaluations, steps } = curves;
    if (evaluations.length < 3 || steps.length < 10) return undefined;
    const best = evaluations.reduce((least, one) =>
      one.validationLoss < least.validationLoss ? one : least,
    );
    const last = evaluations.at(-1)!;
    const after = evaluations.filter(({ step }) => step > best.step);
    const relative = (last.validationLoss - best.validationLoss) / best.validationLoss;
    if (after.length === 0 || !(relative > rise)) return undefined;
    const window = Math.max(5, Math.round(steps.length / 20));
    const [then, now] = [
      trainingLossAt(curves, Math.max(best.step, window), window),
      trainingLossAt(curves, last.step, window),
    ];
    if (then === undefined || now === undefined || now >= then) return undefined;
    // A run that was never better than its base overfitted only if it learned its own data; else its rate is too high.
    const never = best.step === 0;
    if (never && now >= 0.7 * Math.min(then, best.validationLoss)) return undefined;
    const bestStep = Math.max(best.step, 1);
    const shorter =
      settings.training.steps === undefined && curves.stepsPerEpoch > 0
        ? `training.epochs=${round(Math.max(0.1, (1.1 * bestStep) / curves.stepsPerEpoch))}`
        : `training.steps=${Math.ceil(1.1 * bestStep)}`;
    return {
      title: {
        en: `Overfitting: best at step ${best.step}, then validation loss rose by ${(100 * relative).toFixed(0)} %`,
        zh: `过拟合：第 ${best.step} 步最好，之后验证损失上升了 ${(100 * relative).toFixed(0)} %`,
      },
      evidence: [
        { name: "lowest validation loss", value: best.validationLoss, unit: "nats" },
        {
          name: "last validation loss",
          value: last.validationLoss,
          unit: "nats",
          expected: "within 3 % of the lowest",
        },
        { name: "training loss at the best step", value: then, unit: "nats" },
        { name: "training loss at the end", value: now, unit: "nats" },
        { name: "gap at the end", value: last.validationLoss - now, unit: "nats" },
      ],
      picture: lossCurves(curves, { step: best.step, name: "best" }),
      examples: after.slice(0, 3).map(({ step, validationLoss }) => ({
        context: `step ${step}`,
        prediction: `validation loss ${validationLoss.toFixed(4)}`,
      })),
      confidence: clamp(0.6 + 2 * relative + 0.05 * after.length, 0, 0.99),
      severity: relative > 0.15 ? "high" : "medium",
      remedy: never
        ? {
            text: {
              en: "No adapter was better than the base on what was held out, although the training data were learned: make sure that both come from the same source, then take smaller steps.",
              zh: "训练数据已学会，但在留出数据上从未优于基础模型：请确认两者来源相同，再减小学习率。",
            },
            set: [rateTimes(settings, 1 / 3), `lora.dropout=${Math.max(0.2, settings.lora.dropout)}`],
          }
        : {
            text: {
              en: "Train about as long as the best step, with more dropout. The best adapter was kept, so this run's adapter is not the worse for it; more data would help most.",
              zh: "训练到最佳步数附近即可，并增大 dropout。最佳适配器已经保留，本次结果并未变差；增加数据最有帮助。",
            },
            set: [shorter, `lora.dropout=${Math.max(0.2, settings.lora.dropout)}`],
          },
    };
  },
};
