/** An evaluation: every system answers every item, losses and speed are measured, and what was done before is kept. */
import { join } from "node:path";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import type { ChatModel } from "../../model/index.ts";
import { type ResidentModel, loadResidentModel } from "../../model/decoder/index.ts";
import { generationEngine, greedy } from "../../model/generate/index.ts";
import { type Adapter, loadAdapter } from "../../model/weights/index.ts";
import { UserError, explainWriteError, lockFile, writeFileAtomic, makeFolder } from "../../util/index.ts";
import { frequentBaseline, retrievalBaseline } from "./baselines.ts";
import {
  fingerprintsOf,
  isLookup,
  itemsKey,
  missing,
  recordFingerprint,
  systemFingerprint,
  wantedRecords,
} from "./fingerprints.ts";
import type { EvaluationItem } from "./items.ts";
import { measureItemLosses, measureText } from "./losses.ts";
import { type Measures, openMeasures } from "./measures.ts";
import { evaluationPictures } from "./pictures.ts";
import { openSystem } from "./open-system.ts";
import { earlierPath, openRecords } from "./records.ts";
import { generateAll, lookUpAll, preparePrompts } from "./replies.ts";
import { measureSpeed } from "./speed.ts";
import type { Store } from "./store.ts";
import { summarise } from "./summary.ts";
import { tokenLossMeter } from "./token-losses.ts";
import type {
  Evaluation,
  EvaluationOptions,
  EvaluationProgress,
  LookupSystem,
  LossRecord,
  ModelSystem,
  PredictionRecord,
  System,
} from "./types.ts";

export const evaluationFiles = {
  evaluation: "evaluation.json",
  predictions: "predictions.jsonl",
  losses: "losses.jsonl",
  measures: "measures.json",
  pictures: "pictures",
} as const;

/** A model opened for the systems that share it; its weights are read only when something has to be computed. */
export interface OpenGroup {
  readonly model: ChatModel;
  readonly systems: readonly (ModelSystem & { readonly fingerprint: string })[];
}

/** Runs or goes on with an evaluation. Records of other settings, data or weights are set aside, never mixed in. */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { folder, items, systems } = options;
  refuseBad(options);
  try {
    await makeFolder(folder);
  } catch (error) {
    throw explainWriteError(error, folder);
  }
  const lockPath = join(folder, "evaluation.lock");
  const lock = await lockFile(lockPath, `the evaluation in ${folder}`, "choose another --out");
  let groups: readonly OpenGroup[] = [];
  try {
    groups = await openGroups(systems, options);
    const fingerprints = fingerprintsOf(groups, options);
    const wanted = wantedRecords(items, fingerprints);
    const predictionsPath = join(folder, evaluationFiles.predictions);
    await using predictions = await openRecords<PredictionRecord>(predictionsPath, wanted);
    await using losses = await openRecords<LossRecord>(join(folder, evaluationFiles.losses), wanted);
    if (predictions.setAside > 0) {
      options.notice?.(
        `${predictions.setAside} earlier replies belong to other data, systems, settings or weights: set aside in ${earlierPath(predictionsPath)}`,
      );
    }
    const measures = await openMeasures(join(folder, evaluationFiles.measures));
    const store: Store = { predictions, losses, measures, fingerprints, itemsKey: itemsKey(items) };
    const machine = { threads: 0, runtime: "" };
    let peakBytes = 0;
    for (const system of systems) {
      if (isLookup(system)) await answerByLookup(system, options, store);
    }
    for (const group of groups) {
      const used = await answerByModel(group, options, store);
      if (used === undefined) continue;
      machine.threads = used.threads;
      machine.runtime = used.runtime;
      peakBytes = Math.max(peakBytes, used.peakBytes);
    }
    if (machine.threads > 0) await measures.setMachine({ ...machine, peakBytes });
    const evaluation = summarise(options, modelsByName(groups), store);
    await writeFileAtomic(
      join(folder, evaluationFiles.evaluation),
      `${JSON.stringify(evaluation, null, 2)}\n`,
    );
    for (const [name, svg] of evaluationPictures(evaluation))
      await writeFileAtomic(join(folder, evaluationFiles.pictures, name), svg);
    return evaluation;
  } finally {
    for (const { model } of groups) await model.close();
    await lock[Symbol.asyncDispose]();
  }
}

function refuseBad({ items, systems, training }: EvaluationOptions): void {
  if (items.length === 0) {
    throw new UserError("the data hold no reply to compare with", {
      next: "Give conversations whose assistant messages are there: they are the references.",
    });
  }
  if (systems.length === 0)
    throw new UserError("no systems to evaluate", { next: "Name some with --systems." });
  const names = new Set<string>();
  for (const { name } of systems) {
    if (names.has(name)) throw new UserError(`two systems are called ${name}`, { next: "Name each once." });
    names.add(name);
  }
  if (systems.some(isLookup) && training.length === 0) {
    throw new UserError("the retrieval and most-frequent baselines need training data", {
      next: "Leave them out: --systems base,adapter.",
    });
  }
}

/** The models of `systems`, those that share one opened once; the caller closes them. */
export async function openGroups(
  systems: readonly System[],
  options: EvaluationOptions,
): Promise<OpenGroup[]> {
  const byModel = new Map<string, ModelSystem[]>();
  for (const system of systems) {
    if (isLookup(system)) continue;
    const { model, separator = null, keepFirstTurns = 0, slidingWindow = null } = system;
    const key = JSON.stringify([model, separator, keepFirstTurns, slidingWindow]);
    byModel.set(key, [...(byModel.get(key) ?? []), system]);
  }
  const groups: OpenGroup[] = [];
  try {
    for (const members of byModel.values()) {
      const model = await openSystem(members[0]!);
      const prints = await Promise.all(members.map((system) => systemFingerprint(system, model, options)));
      groups.push({ model, systems: members.map((system, i) => ({ ...system, fingerprint: prints[i]! })) });
    }
  } catch (error) {
    for (const { model } of groups) await model.close();
    throw error;
  }
  return groups;
}

function modelsByName(groups: readonly OpenGroup[]): Map<string, ChatModel> {
  return new Map(groups.flatMap(({ model, systems }) => systems.map(({ name }) => [name, model] as const)));
}

async function answerByLookup(system: LookupSystem, options: EvaluationOptions, store: Store): Promise<void> {
  const { items, onProgress } = options;
  const print = store.fingerprints.get(system.name)!;
  const todo = missing(store.predictions, system.name, print, items);
  if (todo.length === 0) return;
  const lookup =
    system.kind === "retrieval" ? retrievalBaseline(options.training) : frequentBaseline(options.training);
  let done = items.length - todo.length;
  await lookUpAll(lookup, todo, {
    records: store.predictions,
    system: system.name,
    fingerprintOf: (item) => recordFingerprint(print, item),
    onReply: () => onProgress?.({ system: system.name, phase: "replies", done: ++done, total: items.length }),
  });
}

/** Everything that is missing of the systems of one model; `undefined` when nothing was. */
async function answerByModel(
  { model, systems }: OpenGroup,
  options: EvaluationOptions,
  store: Store,
): Promise<{ threads: number; runtime: string; peakBytes: number } | undefined> {
  const { items } = options;
  const todo = systems.map((system) => ({
    system,
    replies: missing(store.predictions, system.name, system.fingerprint, items),
    losses: store.measures.lossesDone(system.fingerprint, store.itemsKey)
      ? []
      : missing(store.losses, system.name, system.fingerprint, items),
    measures: store.measures.of(system.fingerprint),
  }));
  const nothingLeft = todo.every(
    ({ replies, losses, measures }) =>
      replies.length === 0 &&
      losses.length === 0 &&
      (options.speedSeconds === 0 || measures.speed !== undefined) &&
      options.general.every(({ name }) => measures.general?.[name] !== undefined),
  );
  if (nothingLeft) return undefined;
  const { threads, provider = "cpu" } = options.runtime;
  await using runtime = await onnxRuntime({ provider, ...(threads === undefined ? {} : { threads }) });
  const names = systems.map(({ name }) => name).join(", ");
  const resident = await loadResidentModel(runtime, model.spec, model.store, (done, total) =>
    options.onProgress?.({ system: names, phase: "weights", done, total }),
  );
  for (const work of todo) {
    const { adapter: folder } = work.system;
    const adapter = folder === undefined ? undefined : await loadAdapter(folder, model.store);
    await measureLosses(resident, model, adapter, work, options, store);
    await answer(resident, model, adapter, work, options, store);
  }
  return { threads: runtime.threads, runtime: runtime.name, peakBytes: (await memoryOf(runtime)).peakBytes };
}

const memoryOf = (runtime: Runtime): ReturnType<Runtime["memory"]> => runtime.memory();

interface Work {
  readonly system: ModelSystem & { readonly fingerprint: string };
  readonly replies: readonly EvaluationItem[];
  readonly losses: readonly EvaluationItem[];
  readonly measures: ReturnType<Measures["of"]>;
}

const microTokens = 700;

async function measureLosses(
  resident: ResidentModel,
  model: ChatModel,
  adapter: Adapter | undefined,
  { system, losses: todo, measures }: Work,
  options: EvaluationOptions,
  store: Store,
): Promise<void> {
  const texts = options.general.filter(({ name }) => measures.general?.[name] === undefined);
  if (todo.length === 0 && texts.length === 0) return;
  const { name, fingerprint } = system;
  const maxTokens = Math.min(options.maxTokens, model.spec.contextLength);
  const report = (phase: EvaluationProgress["phase"], done: number, total: number): void =>
    options.onProgress?.({ system: name, phase, done, total });
  await using meter = tokenLossMeter(resident, { longest: maxTokens, microTokens });
  await meter.useAdapter(adapter);
  let done = options.items.length - todo.length;
  await measureItemLosses(
    meter,
    model.renderer,
    todo,
    maxTokens,
    async (index, loss) => {
      const item = todo[index]!;
      await store.losses.append({
        id: item.id,
        system: name,
        ...loss,
        fingerprint: recordFingerprint(fingerprint, item),
      });
      report("losses", ++done, options.items.length);
    },
    options.signal,
  );
  await store.measures.set(fingerprint, { lossItems: store.itemsKey });
  for (const [i, { name: text, texts: content }] of texts.entries()) {
    report("general text", i, texts.length);
    const loss = await measureText(
      meter,
      model.renderer.tokenizer,
      content,
      model.spec.contextLength,
      options.signal,
    );
    if (loss.tokens === 0) continue;
    const general = {
      ...store.measures.of(fingerprint).general,
      [text]: { perplexity: Math.exp(loss.nats / loss.tokens), tokens: loss.tokens },
    };
    await store.measures.set(fingerprint, { general });
  }
}

async function answer(
  resident: ResidentModel,
  model: ChatModel,
  adapter: Adapter | undefined,
  { system, replies: todo, measures }: Work,
  options: EvaluationOptions,
  store: Store,
): Promise<void> {
  const { name, fingerprint } = system;
  const { items, signal } = options;
  const wantSpeed = options.speedSeconds > 0 && measures.speed === undefined;
  if (todo.length === 0 && !wantSpeed) return;
  const most = Math.min(options.maxTokens, model.spec.contextLength);
  const maxNewTokens = Math.min(options.maxNewTokens, Math.floor(most / 2));
  const maxPromptTokens = most - maxNewTokens;
  const reply = { ...greedy, maxNewTokens, stopStrings: [], seed: options.seed };
  if (wantSpeed) {
    // A tokenizer remembers texts that it has seen: time it on one that has seen none.
    const fresh = await openSystem(system);
    try {
      options.onProgress?.({ system: name, phase: "speed", done: 0, total: 1 });
      await using alone = await generationEngine(resident, { slots: 1, capacity: most });
      await alone.useAdapter(adapter);
      const speed = await measureSpeed(
        alone,
        fresh.renderer,
        items.map(({ context }) => context),
        reply,
        { prompts: 40, replies: 8, maxPromptTokens, seconds: options.speedSeconds },
        signal,
      );
      if (speed !== undefined) await store.measures.set(fingerprint, { speed });
    } finally {
      await fresh.close();
    }
  }
  if (todo.length === 0) return;
  const slots = Math.min(options.batch, todo.length);
  const prepared = preparePrompts(model.renderer, todo, maxPromptTokens);
  const capacity = (prepared.prompts[0]?.ids.length ?? 0) + maxNewTokens;
  await using engine = await generationEngine(resident, { slots, capacity });
  await engine.useAdapter(adapter);
  let done = items.length - todo.length;
  await generateAll(
    engine,
    model.renderer,
    prepared,
    reply,
    {
      records: store.predictions,
      system: name,
      fingerprintOf: (item) => recordFingerprint(fingerprint, item),
      onReply: () =>
        options.onProgress?.({ system: name, phase: "replies", done: ++done, total: items.length }),
    },
    signal,
  );
}
