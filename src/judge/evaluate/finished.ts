/** Whether an evaluation that stands in a folder answers what is asked, so that nothing must be computed or written. */
import { openGroups } from "./evaluate.ts";
import { fingerprintsOf, isLookup, wantedRecords } from "./fingerprints.ts";
import { readEvaluation, readPredictionRecords } from "./read.ts";
import type { Evaluation, EvaluationOptions } from "./types.ts";

/**
 * The evaluation in the folder when every model of `systems` has answered every item there with the weights, text and
 * limits of now. Nothing is written. The caller has seen that an evaluation.json is there.
 */
export async function finishedEvaluation(options: EvaluationOptions): Promise<Evaluation | undefined> {
  const { folder, items, systems } = options;
  const evaluation = await readEvaluation(folder);
  const models = systems.filter((system) => !isLookup(system));
  const there = new Set(evaluation.systems.map(({ name, kind }) => `${kind} ${name}`));
  if (!models.every(({ name, kind }) => there.has(`${kind} ${name}`))) return undefined;
  const records = await readPredictionRecords(folder);
  const groups = await openGroups(models, options);
  try {
    const wanted = wantedRecords(items, fingerprintsOf(groups, { ...options, systems: models }));
    const answered = new Set(records.filter(wanted).map(({ id, system }) => JSON.stringify([id, system])));
    return answered.size === items.length * models.length ? evaluation : undefined;
  } finally {
    for (const { model } of groups) await model.close();
  }
}
