/** Every detector on constructed events and predictions: it finds its fault, a healthy run is silent, remedies are settings. */
import { describe, expect, it } from "vitest";
import { parse as parseYamlValue } from "yaml";
import { isSetting, resolveConfig, trainConfigSchema } from "../../project/index.ts";
import type { Evaluation, PredictionRecord, SliceFigures, SystemFigures } from "../evaluate/index.ts";
import { curvesOf } from "./helpers.ts";
import { detectors } from "./table.ts";
import type { CurveEvent, Diagnosed } from "./types.ts";

const interval = (score: number) => ({ score, mean: score, low: score * 0.95, high: score * 1.05 });
const sliceOf = (
  by: SliceFigures["by"],
  name: string,
  bleu: number,
  rouge: number,
  perplexity: number,
): SliceFigures => ({
  by,
  name,
  count: 20,
  bleu4: interval(bleu),
  rougeL: interval(rouge),
  exact: 0,
  perplexity: { ...interval(perplexity), nats: 1, tokens: 1 },
});

const system = (kind: string, bleu: number, slices: readonly SliceFigures[], general = 20): SystemFigures =>
  ({
    name: kind,
    kind,
    metrics: { bleu4: interval(bleu), rougeL: interval(0.5) },
    perplexity: { ...interval(3), nats: 1, tokens: 1 },
    slices,
    general: { english: { perplexity: general, tokens: 100 } },
  }) as unknown as SystemFigures;

const slices = (bleu: number, late = bleu, perplexity = 3): SliceFigures[] => [
  sliceOf("depth", "1–2", bleu, 0.5, perplexity),
  sliceOf("depth", "6+", late, 0.5, perplexity),
  ...["refund", "delivery", "invoice", "cancel"].map((name) =>
    sliceOf("intent", name, bleu, 0.5, perplexity),
  ),
];

const evaluationOf = (...systems: readonly SystemFigures[]): Evaluation =>
  ({ data: { seenShare: 0.2, judged: 40 }, systems }) as unknown as Evaluation;

const replies = (change: (i: number) => Partial<PredictionRecord> = () => ({})): PredictionRecord[] =>
  Array.from({ length: 40 }, (_, i): PredictionRecord => {
    const reference = `Parcel ${["one", "two", "three", "four", "five"][i % 5]} is on its way to house ${["red", "blue", "green", "grey"][i % 4]} and will arrive soon.`;
    return {
      id: `d${i}#1`,
      system: "tuned",
      fingerprint: "",
      dialogue_id: `d${i}`,
      context: [{ role: "user", content: "Could you tell me where it is by now?" }],
      reference,
      prediction: reference,
      intent: ["refund", "delivery", "invoice", "cancel"][i % 4]!,
      stopped_by: "stop token",
      tokens: 12,
      prompt_tokens: 40,
      dropped_messages: 0,
      depth: 1 + (i % 7),
      seen: false,
      elapsed_seconds: 0.1,
      ...change(i),
    };
  });

/** Losses of training a step, validation losses every `every` steps from step 0. */
function curve(
  training: readonly number[],
  validation: readonly number[],
  reason = "completed",
  stepsPerEpoch = 50,
): Diagnosed["curves"] {
  const every = Math.floor(training.length / (validation.length - 1));
  const best = validation.indexOf(Math.min(...validation));
  const events: CurveEvent[] = [
    { type: "started", stepsPerEpoch, steps: training.length },
    ...training.map((loss, i): CurveEvent => ({
      type: "step",
      step: i + 1,
      loss,
      gradientNorm: 1,
      learningRate: 1e-3,
    })),
    ...validation.map((validationLoss, i): CurveEvent => ({
      type: "evaluation",
      step: i * every,
      validationLoss,
    })),
    { type: "finished", reason, step: training.length, bestStep: best * every },
  ];
  return curvesOf(events);
}
const falling = (from: number, to: number, steps = 100): number[] =>
  Array.from({ length: steps }, (_, i) => to + (from - to) * Math.exp((-6 * i) / steps));

const settings = trainConfigSchema.parse({ model: "m", data: "d" });
const withRate = (learningRate: number): Diagnosed["settings"] => ({
  ...settings,
  optimizer: { ...settings.optimizer, learningRate },
});

const healthy: Diagnosed = {
  settings,
  curves: curve(falling(3, 1), [3, 1.6, 1.25, 1.14, 1.12, 1.11]),
  trainingReplies: 12_000,
  trainingTexts: ["Your parcel is on its way."],
  evaluation: evaluationOf(
    system("base", 5, slices(5, 5, 9)),
    system("tuned", 30, slices(30)),
    system("retrieval", 20, slices(20)),
  ),
  tuned: replies(),
  base: replies(() => ({ prediction: "I do not know that, I am afraid." })),
  trainingSample: { predictions: replies(), trainingLoss: 1, validationLoss: 1.1 },
  text: { trained: "a", now: "a", defaultTemplate: false, differing: [], compared: 40 },
  specialTokens: ["<|im_end|>"],
  unsafeWords: (text) => (text.includes("idiot") ? ["idiot"] : []),
};
const every = (change: number, prediction: (i: number) => string): Partial<Diagnosed> => ({
  tuned: replies((i) => (i % change === 0 ? { prediction: prediction(i) } : {})),
});
const tunedAs = (tuned: SystemFigures, more: Partial<Diagnosed> = {}): Partial<Diagnosed> => ({
  evaluation: evaluationOf(system("base", 5, slices(5, 5, 9)), tuned, system("retrieval", 20, slices(20))),
  ...more,
});

/** The order number of the first turn, which the reference names again. */
const early = (prediction: string): Partial<PredictionRecord> => ({
  depth: 6,
  prompt_tokens: 1500,
  context: [
    { role: "user", content: "This is about order 48-213." },
    { role: "assistant", content: "Yes?" },
    { role: "user", content: "Well." },
    { role: "assistant", content: "Go on." },
    { role: "user", content: "Which one?" },
  ],
  reference: "It was order 48-213.",
  prediction,
});

const faults: readonly (readonly [id: string, name: string, change: Partial<Diagnosed>])[] = [
  [
    "overfitting",
    "validation loss rises, training loss falls",
    { curves: curve(falling(3, 0.2), [3, 1.5, 1.4, 1.6, 1.9, 2.2]) },
  ],
  ["underfitting", "ends while it falls", { curves: curve(falling(3, 2, 20), [3, 2.8, 2.6, 2.4, 2.2, 2]) }],
  [
    "learning-rate-high",
    "loss explodes",
    { settings: withRate(3e-2), curves: curve(falling(9, 3).toReversed(), [3, 6, 7, 8, 9, 9]) },
  ],
  [
    "learning-rate-low",
    "loss hardly moves",
    {
      settings: withRate(3e-7),
      curves: curve(falling(3, 2.98), [3, 2.996, 2.992, 2.988, 2.984, 2.98]),
    },
  ],
  [
    "early-stop",
    "patience of a few steps on a flat curve",
    { curves: curve(falling(3, 1, 20), [3, 2, 1.5, 1.505, 1.51], "early-stopped", 200) },
  ],
  ["small-data", "300 replies", { trainingReplies: 300 }],
  [
    "memorised-replies",
    "training replies word for word",
    {
      trainingSample: { predictions: replies(), trainingLoss: 0.1, validationLoss: 2 },
      tuned: replies((i) => ({ prediction: `Another answer, number ${i}, that is not it.` })),
    },
  ],
  [
    "never-stopping",
    "half runs into the limit",
    { tuned: replies((i) => (i % 2 ? { stopped_by: "length" } : {})) },
  ],
  ["empty-replies", "a tenth is punctuation", every(10, () => "…")],
  [
    "repetition",
    "a fifth turns in circles",
    every(5, () => "we will see we will see we will see we will see"),
  ],
  ["one-reply", "the same for everything", every(1, () => "Please wait a moment.")],
  ["copied-question", "a fifth says the question", every(5, () => "Could you tell me where it is by now?")],
  ["wrong-language", "a fifth in Chinese", every(5, () => "您的包裹正在路上，很快就会送到您家。")],
  ["leaked-marks", "a tenth with placeholders", every(10, () => "Dear {{Customer Name}}, it is on its way.")],
  [
    "leaked-marks",
    "placeholders that the data teach",
    { ...every(10, () => "Dear [NAME], it is on its way."), trainingTexts: ["Dear [NAME], hello."] },
  ],
  ["unsafe-words", "a twentieth insults", every(20, () => "Do not be an idiot about it.")],
  [
    "template-mismatch",
    "another fingerprint",
    {
      text: {
        trained: "a",
        now: "b",
        defaultTemplate: false,
        sample: { trained: "<sep>Hello", now: "Hello" },
        differing: [],
        compared: 40,
      },
    },
  ],
  [
    "long-dialogues",
    "forgets early facts",
    { tuned: replies((i) => (i % 2 ? early("It was another one.") : {})) },
  ],
  [
    "long-dialogues",
    "late turns score less and puzzle more",
    tunedAs(
      system("tuned", 30, [
        sliceOf("depth", "1–2", 30, 0.5, 3),
        sliceOf("depth", "6+", 8, 0.5, 9),
        sliceOf("intent", "refund", 30, 0.5, 3),
      ]),
      { tuned: replies((i) => (i % 2 ? { ...early("It was order 48-213."), depth: 6 } : {})) },
    ),
  ],
  [
    "lost-slices",
    "worse than the base on an intent",
    tunedAs(system("tuned", 30, [...slices(30).slice(0, 5), sliceOf("intent", "cancel", 1, 0.5, 20)])),
  ],
  ["lost-slices", "general text forgotten", tunedAs(system("tuned", 30, slices(30), 90))],
  [
    "failing-intents",
    "one intent far below",
    tunedAs(system("tuned", 30, [...slices(30).slice(0, 5), sliceOf("intent", "cancel", 8, 0.05, 3)])),
  ],
  [
    "below-retrieval",
    "looking up does better",
    tunedAs(system("tuned", 10, slices(10)), { tuned: every(2, () => "Something else altogether.").tuned! }),
  ],
];

const found = (run: Diagnosed): string[] =>
  detectors.filter(({ detect }) => detect(run) !== undefined).map(({ id }) => id);

const intent = (name: string, count: number, rouge: number, high = 1.05 * rouge): SliceFigures => ({
  ...sliceOf("intent", name, 8, rouge, 3),
  count,
  rougeL: { score: rouge, mean: rouge, low: 0.5 * rouge, high },
});

describe("detectors on constructed events and predictions", () => {
  it.each<readonly [string, SliceFigures, boolean]>([
    ["six replies", intent("cancel", 6, 0.06), false],
    ["fourteen replies", intent("cancel", 14, 0.06), false],
    ["an interval that holds the average", intent("cancel", 20, 0.2, 0.43), false],
    ["fifteen replies, all below", intent("cancel", 15, 0.06), true],
  ])("an intent fails only on evidence: %s", (_, one, fails) => {
    const run = { ...healthy, ...tunedAs(system("tuned", 30, [...slices(30).slice(0, 5), one])) };
    expect(found(run).includes("failing-intents")).toBe(fails);
  });

  it("are silent on a healthy run", () => {
    expect(found(healthy)).toEqual([]);
  });

  it("few data are no fault where new replies are no harder than learned ones", () => {
    const few = { ...healthy, trainingReplies: 2082 };
    const trainingSample = { predictions: replies(), trainingLoss: 1.1, validationLoss: 1 };
    expect(found(few)).toEqual(["small-data"]);
    expect(found({ ...few, trainingSample })).toEqual([]);
  });

  it("a rate that changed nothing is not too high: training batches and held-out texts differ", () => {
    // As a real run at 1e-7 showed it: 5.19 held out, training batches between 5.1 and 5.7.
    const noise = Array.from({ length: 20 }, (_, i) => 5.3 + 0.2 * Math.sin(7 * i + 1));
    const run = {
      ...healthy,
      settings: withRate(1e-7),
      curves: curve(noise, [5.19, 5.19, 5.19, 5.19, 5.19]),
    };
    expect(found(run)).toEqual(["learning-rate-low"]);
  });

  it("an easy batch among noisy ones is not where a run went wrong", () => {
    const losses = falling(5, 0.1, 200).map((loss, i) => loss * (i % 9 === 0 ? 2.5 : i % 7 === 0 ? 0.4 : 1));
    expect(found({ ...healthy, curves: curve(losses, [5, 1, 0.3, 0.15, 0.13, 0.12]) })).toEqual([]);
  });

  it("held-out conversations of another kind than those learned: overfitting, and no matter of the rate", () => {
    const run = { ...healthy, curves: curve(falling(5, 0.2), [5, 5.6, 5.9, 6.1, 6.2, 6.3]) };
    expect(found(run)).toEqual(["overfitting"]);
    const { remedy } = detectors.find(({ id }) => id === "overfitting")!.detect(run)!;
    expect(remedy.text.en).toContain("same source");
    // Nothing learned at all: the rate.
    const lost = { ...healthy, curves: curve(falling(8, 7), [5, 5.6, 5.9, 6.1, 6.2, 6.3]) };
    expect(found(lost)).toEqual(["learning-rate-high"]);
  });

  it("one text that all the data share is not known by heart", () => {
    const same = replies(() => ({ prediction: "We will see.", reference: "We will see." }));
    const trainingSample = { predictions: same, trainingLoss: 0.1, validationLoss: 5 };
    const tuned = replies(() => ({ prediction: "We will see." }));
    expect(found({ ...healthy, trainingSample, tuned })).not.toContain("memorised-replies");
    expect(found({ ...healthy, trainingSample, tuned })).toContain("one-reply");
  });

  it("a base that never knew general text cannot forget it", () => {
    const general = (before: number, after: number): Partial<Diagnosed> => ({
      evaluation: evaluationOf(
        system("base", 5, slices(5, 5, 9), before),
        system("tuned", 30, slices(30), after),
        system("retrieval", 20, slices(20)),
      ),
    });
    expect(found({ ...healthy, ...general(749, 2000) })).toEqual([]);
    expect(found({ ...healthy, ...general(40, 100) })).toEqual(["lost-slices"]);
  });

  it("long dialogues: where everything is set already, the remedy says so and what is left", () => {
    const template = { ...settings.template, separator: "<sep>", keepFirstTurns: 1 };
    const data = { ...settings.data, longShare: 0.4 };
    const training = { ...settings.training, maxLength: 4096 };
    const run = {
      ...healthy,
      settings: { ...settings, template, data, training },
      tuned: replies((i) => (i % 2 ? early("I do not know.") : {})),
    };
    const { remedy } = detectors.find(({ id }) => id === "long-dialogues")!.detect(run)!;
    expect(remedy.text.en).toContain("set already");
    expect(remedy.text.en).not.toContain("Mark turns");
    expect(remedy.set).toEqual(["training.epochs=6"]);
  });

  it("all have a fault here that they must find", () => {
    expect(new Set(faults.map(([id]) => id))).toEqual(new Set(detectors.map(({ id }) => id)));
  });

  it.each(faults)("%s: %s", async (id, _, change) => {
    const run = { ...healthy, ...change };
    const finding = detectors.find((one) => one.id === id)!.detect(run)!;
    expect(finding).toBeDefined();
    expect(finding.confidence).toBeGreaterThanOrEqual(0.5);
    expect(finding.confidence).toBeLessThan(1);
    expect(finding.evidence.length).toBeGreaterThan(0);
    expect(finding.picture?.markup).toMatch(/^<svg/);
    expect(finding.examples.length).toBeGreaterThan(0);
    expect(finding.examples.length).toBeLessThanOrEqual(3);
    const { set, commands = [] } = finding.remedy;
    expect(set.length + commands.length).toBeGreaterThan(0);
    // What a finding asks for is a setting, within its bounds, and not what is set already.
    for (const pair of set) {
      const [key, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
      expect(isSetting(trainConfigSchema, key), key).toBe(true);
      const before = key.split(".").reduce<unknown>((part, name) => (part as never)[name], run.settings);
      expect(parseYamlValue(value), key).not.toEqual(before);
    }
    const resolved = await resolveConfig(trainConfigSchema, {
      flags: { model: "m", data: "d" },
      finding: { id, file: "findings.json", set },
    });
    for (const pair of set)
      expect(resolved.origins.get(pair.slice(0, pair.indexOf("=")))).toBe(`finding ${id}`);
  });
});
