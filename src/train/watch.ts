/** Recognises what goes wrong while a run trains, and says what to do. A function of the events alone. */
import type { RunEvent } from "./events.ts";

export interface WatchOptions {
  /** The norm to which gradients are clipped. */
  readonly clipNorm: number;
}

type Warning = Extract<RunEvent, { type: "warning" }>;
type StepEvent = Extract<RunEvent, { type: "step" }>;
type EvaluationEvent = Extract<RunEvent, { type: "evaluation" }>;

/** Steps that a step is compared with. */
const WINDOW = 50;
/** Fewer say nothing. */
const LEAST = 20;
/** Steps before the same warning may come again. */
const PAUSE = 100;
/** A gradient below this is lost in float32's rounding of parameters near 1. */
const VANISHED = 1e-7;
/** Least relative change of a loss that counts as learning. */
const LEARNED = 0.002;
/** Steps after which a run without evaluations is judged by its training loss. */
const PATIENT = 200;
/** A layer whose gradient is this small beside the median layer's hardly moves. */
const FAINT = 1e-5;

/** Takes the events of a run in order and answers each with the warnings it gives reason for. */
export function watcher(options: WatchOptions): (event: RunEvent) => readonly Warning[] {
  const steps: StepEvent[] = [];
  const evaluations: EvaluationEvent[] = [];
  const firstLosses: number[] = [];
  const warnedAt = new Map<string, number>();
  let clipped = 0;

  const rules: { readonly [K in RunEvent["type"]]?: (event: never) => Iterable<readonly [string, string]> } =
    {
      step: stepRules,
      evaluation: evaluationRules,
      gradients: gradientRules,
    };

  function* stepRules(event: StepEvent): Iterable<readonly [string, string]> {
    const { step, loss, gradientNorm, learningRate } = event;
    const recent = steps.slice(-WINDOW);
    steps.push(event);
    if (steps.length > 2 * WINDOW) steps.splice(0, steps.length - 2 * WINDOW);
    if (firstLosses.length < WINDOW) firstLosses.push(loss);
    clipped = gradientNorm > 10 * options.clipNorm ? clipped + 1 : 0;

    if (recent.length >= LEAST) {
      const losses = recent.map((one) => one.loss);
      const usual = mean(losses);
      if (loss > 1.3 * usual && loss > usual + 6 * deviation(losses)) {
        yield [
          "loss-spike",
          `the loss of step ${step} is ${loss.toFixed(3)}; the ${recent.length} steps before it had ${usual.toFixed(3)} on average. One spike that dies away comes from an odd batch; if they return, lower optimizer.learningRate or optimizer.clipNorm.`,
        ];
      }
      const norm = median(recent.map((one) => one.gradientNorm));
      if (gradientNorm > 20 * norm && gradientNorm > options.clipNorm) {
        yield [
          "exploding-gradient",
          `the gradient norm of step ${step} is ${gradientNorm.toPrecision(3)}, ${Math.round(gradientNorm / norm)} times the usual ${norm.toPrecision(3)}; it was clipped to ${options.clipNorm}. If this goes on, lower optimizer.learningRate and look for odd texts in the data.`,
        ];
      }
    }
    yield* startRules(step);
    if (recent.length >= WINDOW) {
      const [early, late] = halves([...recent.slice(1), event].map((one) => one.loss));
      if (mean(late) > 1.1 * mean(early) && mean(late) > mean(early) + 6 * standardError(early, late)) {
        yield [
          "loss-rising",
          `the training loss rose from ${mean(early).toFixed(3)} to ${mean(late).toFixed(3)} over the last ${WINDOW} steps: the run is diverging. Start again with a third of the learning rate, or a longer warm-up.`,
        ];
      }
    }
    if (clipped === LEAST) {
      yield [
        "always-clipped",
        `the gradient norm has been over ten times optimizer.clipNorm (${options.clipNorm}) for ${LEAST} steps: every step is cut to a tenth or less. Raise optimizer.clipNorm, or lower lora.alpha.`,
      ];
    }
    const latest = steps.slice(-5);
    if (latest.length === 5 && learningRate > 0 && latest.every((one) => one.gradientNorm < VANISHED)) {
      yield [
        "vanishing-gradient",
        `the gradient norm has been below ${VANISHED} for 5 steps: nothing is learned. Check that replies are supervised (attune data tokens), and that lora.targets names layers which matter.`,
      ];
    }
  }

  /** What can be told before there is a usual loss, and what no evaluation tells. */
  function* startRules(step: number): Iterable<readonly [string, string]> {
    const losses = steps.map((one) => one.loss);
    if (steps.length === firstLosses.length && losses.length >= 6 && losses.length <= LEAST) {
      const start = median(losses.slice(0, 3));
      const latest = losses.slice(-3);
      if (latest.every((loss) => loss > 1.3 * start && loss > start + 0.5)) {
        yield [
          "loss-rising",
          `the training loss rose from ${start.toFixed(3)} to ${latest.at(-1)!.toFixed(3)} in the first ${step} steps: the run is diverging. Start again with a tenth of the learning rate, or a longer warm-up.`,
        ];
      }
    }
    if (evaluations.length === 0 && step === PATIENT && firstLosses.length === WINDOW) {
      const late = losses.slice(-WINDOW);
      const gain = mean(firstLosses) - mean(late);
      if (gain < LEARNED * mean(firstLosses) && gain < standardError(firstLosses, late)) {
        const rate = Math.max(...steps.map(({ learningRate }) => learningRate));
        yield [
          "nothing-learned",
          `after ${step} steps the training loss is where it began (${mean(firstLosses).toFixed(4)} to ${mean(late).toFixed(4)}): a learning rate of ${rate.toPrecision(2)} does next to nothing. Try ten times as much.`,
        ];
      }
    }
  }

  function* evaluationRules(event: EvaluationEvent): Iterable<readonly [string, string]> {
    evaluations.push(event);
    const [first] = evaluations;
    if (evaluations.length >= 3 && event.step >= LEAST) {
      const moved = evaluations.every(
        ({ validationLoss }) =>
          Math.abs(validationLoss - first!.validationLoss) < LEARNED * first!.validationLoss,
      );
      const rate = Math.max(...steps.map(({ learningRate }) => learningRate));
      if (moved) {
        yield [
          "nothing-learned",
          `after ${event.step} steps the validation loss has moved by less than ${LEARNED * 100} % (${first!.validationLoss.toFixed(4)} to ${event.validationLoss.toFixed(4)}): a learning rate of ${rate.toPrecision(2)} does next to nothing. Try ten times as much.`,
        ];
      }
    }
    const lastThree = evaluations.slice(-3).map(({ validationLoss }) => validationLoss);
    if (evaluations.length > 3 && lastThree.every((loss, i) => i === 0 || loss > lastThree[i - 1]!)) {
      const since = evaluations.at(-3)!.step;
      const before = steps.filter(({ step }) => step <= since).map(({ loss }) => loss);
      const after = steps.filter(({ step }) => step > since).map(({ loss }) => loss);
      if (before.length > 0 && after.length > 0 && mean(after) < mean(before)) {
        yield [
          "overfitting",
          `since step ${since} the validation loss rises (now ${event.validationLoss.toFixed(4)}) while the training loss falls: the model learns the data by heart. The best adapter so far is kept; fewer epochs, more data or more lora.dropout help.`,
        ];
      }
    }
  }

  function* gradientRules({
    step,
    norms,
  }: Extract<RunEvent, { type: "gradients" }>): Iterable<readonly [string, string]> {
    const layers = Object.keys(norms);
    const dead = layers.filter((layer) => norms[layer] === 0);
    if (dead.length === layers.length) return;
    const usual = median(Object.values(norms).filter((norm) => norm > 0));
    const faint = layers.filter((layer) => norms[layer]! > 0 && norms[layer]! < FAINT * usual);
    if (faint.length > 0) {
      yield [
        "vanishing-layer",
        `at step ${step} the gradient of ${faint.length} of ${layers.length} layers is less than a hundred thousandth of the usual one, such as ${faint[0]} (${norms[faint[0]!]!.toPrecision(2)}; usual ${usual.toPrecision(2)}): they hardly learn. Check the weights of the model there; a model from scratch may need another initial.deviation.`,
      ];
    }
    if (dead.length === 0) return;
    yield [
      "dead-layer",
      `${dead.length} of ${Object.keys(norms).length} adapted layers got no gradient at all at step ${step}, such as ${dead[0]}: they learn nothing. Check the weights of the base model there.`,
    ];
  }

  return (event) => {
    const rule = rules[event.type] as ((event: RunEvent) => Iterable<readonly [string, string]>) | undefined;
    if (rule === undefined || !("step" in event)) return [];
    const warnings: Warning[] = [];
    for (const [code, message] of rule(event)) {
      if (event.step - (warnedAt.get(code) ?? Number.NEGATIVE_INFINITY) < PAUSE) continue;
      warnedAt.set(code, event.step);
      warnings.push({ type: "warning", step: event.step, code, message });
    }
    return warnings;
  };
}

function halves(values: readonly number[]): readonly [readonly number[], readonly number[]] {
  const middle = values.length >> 1;
  return [values.slice(0, middle), values.slice(middle)];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation. */
function deviation(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
}

/** Of the difference of two means. */
function standardError(a: readonly number[], b: readonly number[]): number {
  return Math.sqrt(deviation(a) ** 2 / a.length + deviation(b) ** 2 / b.length);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
