/** Early stopping ended the run on noise: too often measured, too little patience. */
import { clamp, trainingLossAt } from "../helpers.ts";
import { lossCurves } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const earlyStop: Detector = {
  id: "early-stop",
  about: { en: "early stopping ended the run too early", zh: "提前停止过早" },
  detect: ({ curves, settings }) => {
    const { finished, evaluations, steps, stepsPerEpoch } = curves;
    if (finished?.reason !== "early-stopped" || evaluations.length < 2 || steps.length < 3) return undefined;
    const best = evaluations.reduce((least, one) =>
      one.validationLoss < least.validationLoss ? one : least,
    );
    const after = evaluations.filter(({ step }) => step > best.step);
    const rise = Math.max(...after.map(({ validationLoss }) => validationLoss)) / best.validationLoss - 1;
    const waited = finished.step - best.step;
    const window = Math.max(3, Math.round(steps.length / 10));
    const then = trainingLossAt(curves, Math.max(best.step, window), window);
    const now = trainingLossAt(curves, finished.step, window);
    const falling = then !== undefined && now !== undefined && now < then * 0.98;
    const short = stepsPerEpoch > 0 && waited < stepsPerEpoch / 2;
    // What rose clearly had to be stopped; a short wait on a flat curve shows nothing.
    if (!short || rise > 0.03 || !(falling || finished.step < stepsPerEpoch)) return undefined;
    const every = settings.evaluation.every ?? Math.max(1, Math.ceil(stepsPerEpoch / 2));
    const patience = Math.max(settings.evaluation.patience + 2, Math.ceil(stepsPerEpoch / every));
    return {
      title: {
        en: `Stopped after ${waited} steps without improvement, ${(waited / stepsPerEpoch).toFixed(2)} of an epoch`,
        zh: `仅 ${waited} 步（${(waited / stepsPerEpoch).toFixed(2)} 轮）没有改进就停止了`,
      },
      evidence: [
        {
          name: "steps since the best",
          value: waited,
          unit: "count",
          expected: `at least ${Math.ceil(stepsPerEpoch / 2)}`,
        },
        { name: "steps in an epoch", value: stepsPerEpoch, unit: "count" },
        {
          name: "rise of the validation loss since",
          value: rise,
          unit: "share",
          expected: "above 3 % where stopping is right",
        },
        ...(then === undefined
          ? []
          : [{ name: "training loss at the best step", value: then, unit: "nats" as const }]),
        ...(now === undefined
          ? []
          : [{ name: "training loss at the end", value: now, unit: "nats" as const }]),
      ],
      picture: lossCurves(curves, { step: best.step, name: "best" }),
      examples: after.slice(0, 3).map(({ step, validationLoss }) => ({
        context: `step ${step}`,
        prediction: `validation loss ${validationLoss.toFixed(4)}, best ${best.validationLoss.toFixed(4)}`,
      })),
      confidence: clamp(0.5 + (falling ? 0.25 : 0) + (rise < 0.01 ? 0.15 : 0), 0, 0.95),
      severity: "medium",
      remedy: {
        text: {
          en: "Wait at least an epoch before stopping.",
          zh: "至少等待一轮再停止。",
        },
        set: [
          `evaluation.patience=${patience}`,
          ...(every < stepsPerEpoch / 4 ? [`evaluation.every=${Math.ceil(stepsPerEpoch / 4)}`] : []),
        ],
      },
    };
  },
};
