/** What was found out, as one evaluation: figures of every system, the machine, and what to be careful about. */
import { cpus } from "node:os";
import type { ChatModel } from "../../model/index.ts";
import { parameterCount } from "../../model/decoder/index.ts";
import { type SystemOutcome, scoreSystem } from "./figures.ts";
import { isLookup } from "./fingerprints.ts";
import { scriptOf } from "./items.ts";
import type { Store } from "./store.ts";
import type { Evaluation, EvaluationOptions, LossRecord, PredictionRecord, SystemFigures } from "./types.ts";

export function summarise(
  options: EvaluationOptions,
  models: ReadonlyMap<string, ChatModel>,
  store: Store,
): Evaluation {
  const { items, systems, samples, seed } = options;
  const outcomes = new Map<
    string,
    { predictions: Map<string, PredictionRecord>; losses: Map<string, LossRecord> }
  >(systems.map(({ name }) => [name, { predictions: new Map(), losses: new Map() }]));
  for (const record of store.predictions.all())
    outcomes.get(record.system)?.predictions.set(record.id, record);
  for (const record of store.losses.all()) outcomes.get(record.system)?.losses.set(record.id, record);
  const scoring = { seed, ...(samples === undefined ? {} : { samples }) };
  let first: { name: string; outcome: SystemOutcome } | undefined;
  const figures = systems.map((system, index): SystemFigures => {
    options.onProgress?.({ system: system.name, phase: "scores", done: index, total: systems.length });
    const outcome = outcomes.get(system.name)!;
    const scored = scoreSystem(items, outcome, first, scoring);
    first ??= { name: system.name, outcome };
    if (isLookup(system)) {
      const about =
        system.kind === "retrieval"
          ? "the reply of the nearest training context (BM25)"
          : "the most frequent training reply";
      return { name: system.name, kind: system.kind, about, ...scored, general: {} };
    }
    const model = models.get(system.name)!;
    const { speed, general = {} } = store.measures.of(store.fingerprints.get(system.name)!);
    const alone = speed?.repliesPerSecondAlone ?? 0;
    const { generation } = scored;
    return {
      name: system.name,
      kind: system.kind,
      about: system.adapter === undefined ? model.opened.name : `${model.opened.name} with ${system.adapter}`,
      parameters: parameterCount(model.spec),
      ...scored,
      generation: alone === 0 ? generation : { ...generation, speedup: generation.repliesPerSecond / alone },
      ...(speed === undefined ? {} : { speed }),
      general,
    };
  });
  const { threads, runtime, peakBytes } = store.measures.machine();
  const processors = cpus();
  return {
    kind: "attune-evaluation",
    schemaVersion: 1,
    ...(options.command === undefined ? {} : { command: options.command }),
    data: {
      ...options.data,
      judged: items.length,
      seenShare: items.filter(({ seen }) => seen).length / items.length,
    },
    settings: {
      batch: options.batch,
      maxNewTokens: options.maxNewTokens,
      maxTokens: options.maxTokens,
      decoding: "greedy",
      seed,
    },
    machine: {
      cpu: processors[0]?.model.trim() ?? "unknown",
      cores: processors.length,
      threads,
      precision: "float32",
      runtime,
      node: process.version,
    },
    peakBytes,
    warnings: warningsOf(options),
    systems: figures,
  };
}

function warningsOf({ items, training }: EvaluationOptions): string[] {
  const warnings: string[] = [];
  const share = (scripts: readonly ("cjk" | "other")[]): number =>
    scripts.filter((script) => script === "cjk").length / Math.max(1, scripts.length);
  const asked = share(items.map(({ references }) => scriptOf(references[0]!)));
  const taught = share(
    training
      .slice(0, 2000)
      .flatMap(({ messages }) =>
        messages.filter(({ role }) => role === "assistant").map(({ content }) => scriptOf(content)),
      ),
  );
  if (training.length > 0 && Math.abs(asked - taught) > 0.6) {
    warnings.push(
      `the replies asked for are ${asked > taught ? "mostly Chinese, Japanese or Korean and the training replies are not" : "in another script than the training replies"}: these figures say little`,
    );
  }
  if (items.length < 50) warnings.push(`only ${items.length} replies were judged: the intervals are wide`);
  return warnings;
}
