/** Reads what an evaluation wrote. */
import { join } from "node:path";
import { UserError, parseJson, readJsonLines, readTextFile } from "../../util/index.ts";
import { evaluationFiles } from "./evaluate.ts";
import type { Evaluation, PredictionRecord } from "./types.ts";

/** The evaluation.json of `folder`; a `UserError` when it is missing or of another version. */
export async function readEvaluation(folder: string): Promise<Evaluation> {
  const path = join(folder, evaluationFiles.evaluation);
  const value = parseJson(await readTextFile(path, "the evaluation"), path) as Partial<Evaluation> | null;
  if (value?.kind !== "attune-evaluation" || !Array.isArray(value.systems)) {
    throw new UserError("not an evaluation", { at: path, next: "Make it with attune evaluate." });
  }
  if (value.schemaVersion !== 1) {
    throw new UserError(
      `the evaluation has schema version ${value.schemaVersion}; this Attune reads version 1`,
      {
        at: path,
        next: "Make it again with attune evaluate.",
      },
    );
  }
  return value as Evaluation;
}

/** The lines of predictions.jsonl. */
export async function readPredictionRecords(folder: string): Promise<PredictionRecord[]> {
  const records: PredictionRecord[] = [];
  const path = join(folder, evaluationFiles.predictions);
  for await (const { value, line } of readJsonLines(path)) {
    const record = value as Partial<PredictionRecord> | null;
    if (
      typeof record?.id !== "string" ||
      typeof record.prediction !== "string" ||
      typeof record.system !== "string"
    ) {
      throw new UserError("not a prediction", {
        at: `${path}:${line}`,
        next: "Make the file again with attune evaluate.",
      });
    }
    records.push(record as PredictionRecord);
  }
  return records;
}
