/** Looks at everything a run left behind, asks the model what is missing, and writes what is wrong. */
import { join } from "node:path";
import { SensitiveWordsOptions, sensitiveEntries, sensitiveFinder } from "../../data/clean/index.ts";
import type { Example } from "../../model/text/index.ts";
import {
  type Evaluation,
  type EvaluationItem,
  type ModelSystem,
  type PredictionRecord,
  evaluate,
  evaluationItems,
  openSystem,
  readPredictionRecords,
  sampleItems,
} from "../evaluate/index.ts";
import { writeFindings } from "./findings.ts";
import { curvesOf } from "./helpers.ts";
import { ownHistory } from "./own-history.ts";
import { type TrainedText, checkText } from "./text-check.ts";
import type { CurveEvent, Diagnosed, Finding, RunSettings, TrainingSample } from "./types.ts";

export interface DiagnoseOptions {
  /** Where findings.json and the pictures go. */
  readonly folder: string;
  readonly run: string;
  /** What was typed; the findings name it. */
  readonly command?: string;
  readonly settings: RunSettings;
  readonly events: readonly CurveEvent[];
  readonly system: ModelSystem;
  readonly training: readonly Example[];
  /** The replies that the evaluation judged. */
  readonly items: readonly EvaluationItem[];
  readonly evaluation: Evaluation;
  readonly evaluationFolder: string;
  /** Template and tokens as the run wrote them down. */
  readonly trainedText: TrainedText;
  readonly batch: number;
  readonly threads?: number;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
  readonly notice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

const sampled = 40;

export async function diagnose(options: DiagnoseOptions): Promise<readonly Finding[]> {
  const { evaluation, training, system, settings } = options;
  const predictions = await readPredictionRecords(options.evaluationFolder);
  const named = (kind: "base" | "tuned"): readonly PredictionRecord[] => {
    const name = evaluation.systems.find((one) => one.kind === kind)?.name;
    return name === undefined ? [] : predictions.filter((one) => one.system === name);
  };
  const tuned = named("tuned");
  const model = await openSystem(system);
  const text = checkText(model.renderer, training, options.trainedText, model.defaultTemplate);
  const specialTokens = model.renderer.tokenizer.specialTokens.map(({ content }) => content);
  await model.close();
  const trainingSample = await sampleTraining(options);
  options.signal?.throwIfAborted();
  const history = await ownHistory({
    system,
    items: options.items,
    known: tuned,
    dialogues: 12,
    turns: 10,
    maxNewTokens: evaluation.settings.maxNewTokens,
    maxTokens: evaluation.settings.maxTokens,
    batch: options.batch,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    onProgress: (done, total) => options.onProgress?.("own history", done, total),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const trainingTexts = training
    .flatMap(({ messages }) =>
      messages.filter(({ role, supervised }) => role === "assistant" && supervised !== false),
    )
    .map(({ content }) => content);
  const unsafe = SensitiveWordsOptions.parse({});
  const finder = sensitiveFinder(sensitiveEntries(unsafe), unsafe.normalise);
  const diagnosed: Diagnosed = {
    settings,
    curves: curvesOf(options.events),
    trainingReplies: trainingTexts.length,
    trainingTexts: trainingTexts.slice(0, 5000),
    evaluation,
    tuned,
    base: named("base"),
    ...(trainingSample === undefined ? {} : { trainingSample }),
    ownHistory: history,
    text,
    specialTokens,
    unsafeWords: (text) => finder.find(text).map(({ entry }) => entry.written),
  };
  return writeFindings(options.folder, diagnosed, {
    run: options.run,
    judged: evaluation.data.judged,
    ...(options.command === undefined ? {} : { command: options.command }),
  });
}

/** The adapter on replies that it was trained on; undefined where the training data are gone. */
async function sampleTraining(options: DiagnoseOptions): Promise<TrainingSample | undefined> {
  const { evaluation, training, system } = options;
  const validation = evaluation.systems.find(({ kind }) => kind === "tuned")?.perplexity;
  if (training.length === 0 || validation === undefined) return undefined;
  const items = sampleItems(evaluationItems(training), sampled, evaluation.settings.seed);
  const folder = join(options.folder, "training-sample");
  const measured = await evaluate({
    folder,
    items,
    training: [],
    systems: [system],
    data: { path: "a sample of the training data", replies: items.length },
    batch: options.batch,
    maxNewTokens: evaluation.settings.maxNewTokens,
    maxTokens: evaluation.settings.maxTokens,
    general: [],
    speedSeconds: 0,
    runtime: options.threads === undefined ? {} : { threads: options.threads },
    samples: 50,
    seed: evaluation.settings.seed,
    onProgress: ({ phase, done, total }) => options.onProgress?.(`training sample, ${phase}`, done, total),
    ...(options.notice === undefined ? {} : { notice: options.notice }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const perplexity = measured.systems[0]?.perplexity;
  if (perplexity === undefined) return undefined;
  return {
    predictions: await readPredictionRecords(folder),
    trainingLoss: Math.log(perplexity.score),
    validationLoss: Math.log(validation.score),
  };
}
