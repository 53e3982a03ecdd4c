/** Loss that rises or leaps, or a validation loss above that of the base: steps too large. */
import { clamp, mean, median, rateTimes, round, smoothed } from "../helpers.ts";
import { lossCurves } from "../pictures.ts";
import type { Detector, Figure } from "../types.ts";

// LoRA is trained at 1e-4 to 2e-3 (QLoRA, Dettmers 2023: 2e-4 to 1e-3; LoRA+, Hayou 2024: B at 16 times that of A): a rate
// that failed is brought into this range at once instead of a third at a time.
const highestUsual = 1e-3;

export const learningRateHigh: Detector = {
  id: "learning-rate-high",
  about: { en: "the learning rate is too high", zh: "学习率过高" },
  detect: ({ curves, settings }) => {
    const { steps, evaluations } = curves;
    if (steps.length < 5) return undefined;
    const losses = steps.map(({ loss }) => loss);
    const few = Math.max(2, Math.round(losses.length / 10));
    const end = mean(losses.slice(-few));
    // Of as many steps as `end` is: the easiest batch of all says nothing (measured: a healthy run of 700 steps ended at twice
    // its easiest batch).
    const lowest = Math.min(...smoothed(losses, few).slice(few - 1));
    const before = evaluations.find(({ step }) => step === 0)?.validationLoss;
    // The first steps may have exploded already: what the base had on held-out data is a start too (measured: 4.9 before,
    // 10.9 over the first five steps at a rate of 0.5). Those are other texts, so a tenth more says nothing (measured: at a
    // rate of 1e-7, which changes nothing, training lay 4 % above).
    const first = mean(losses.slice(0, Math.min(few, 5)));
    const start = Math.min(first, 1.1 * (before ?? Number.POSITIVE_INFINITY));
    // Means of so few batches differ by chance.
    const chance =
      (2 * median(losses.slice(1).map((loss, i) => Math.abs(loss - losses[i]!)))) / Math.sqrt(few);
    const later = evaluations.filter(({ step }) => step > 0).map(({ validationLoss }) => validationLoss);
    const leaps = leapsIn(losses);
    const reasons: Figure[] = [];
    let score = 0;
    // The run went up again after it had learned something, or never came down.
    const rose = (end - lowest) / Math.max(1e-9, lowest);
    if (end > start * 1.02 + chance || !Number.isFinite(end)) {
      score += 0.6;
      reasons.push({
        name: "training loss at the end over that at the start",
        value: end / start,
        expected: "below 1",
      });
    } else if (rose > 1 && leaps.length > 0) {
      score += 0.5;
      reasons.push({
        name: "training loss at the end over the lowest",
        value: end / lowest,
        expected: "below 2",
      });
    }
    // Where training loss fell well, the steps were not too large: the held-out conversations are of another kind.
    const learned = end < 0.7 * start;
    if (before !== undefined && later.length > 0 && Math.min(...later) > before * 1.02 && !learned) {
      // Held-out loss is the same texts each time: far above that of the base it leaves little doubt.
      score += Math.min(...later) > before * 1.2 ? 0.8 : 0.5;
      reasons.push({
        name: "best validation loss over that of the base",
        value: Math.min(...later) / before,
        expected: "below 1",
      });
    }
    if (leaps.length >= 3 && leaps.length / losses.length > 0.02) {
      score += 0.25;
      reasons.push({ name: "steps whose loss leapt", value: leaps.length, unit: "count", expected: "none" });
    }
    if (score < 0.45) return undefined;
    const { learningRate, clipNorm } = settings.optimizer;
    const clipped = steps.filter(({ gradientNorm }) => gradientNorm > clipNorm).length / steps.length;
    const lower = Math.min(learningRate * (score >= 1 ? 0.1 : 1 / 3), highestUsual);
    return {
      title: {
        en: `The learning rate of ${learningRate} is too high`,
        zh: `学习率 ${learningRate} 过高`,
      },
      evidence: [
        ...reasons,
        { name: "learning rate", value: learningRate },
        { name: "steps whose gradient was clipped", value: clipped, unit: "share" },
        { name: "median gradient norm", value: median(steps.map(({ gradientNorm }) => gradientNorm)) },
      ],
      picture: lossCurves(curves),
      examples: (leaps.length > 0 ? leaps : [losses.length - 1]).slice(0, 3).map((at) => ({
        context: `step ${steps[at]!.step}`,
        prediction: `loss ${losses[at]!.toFixed(4)}, before ${(losses[at - 1] ?? losses[at]!).toFixed(4)}`,
      })),
      confidence: clamp(0.4 + score / 2, 0, 0.99),
      severity: "high",
      remedy: {
        text: {
          en: `Lower the learning rate to ${round(lower)} and warm it up over a twentieth of the run.`,
          zh: `将学习率降到 ${round(lower)}，并在前 5 % 的步数内预热。`,
        },
        set: [rateTimes(settings, lower / learningRate), "schedule.warmupShare=0.05"],
      },
    };
  },
};

/** Steps whose loss lies above that of the ten steps before by more than six of their usual differences. */
function leapsIn(losses: readonly number[]): number[] {
  const differences = losses.slice(1).map((loss, i) => Math.abs(loss - losses[i]!));
  const usual = Math.max(median(differences), 1e-6);
  return [...losses.keys()].filter((i) => {
    if (i < 5) return false;
    const around = mean(losses.slice(Math.max(0, i - 10), i));
    return !(losses[i]! - around <= Math.max(6 * usual, 0.25 * around));
  });
}
