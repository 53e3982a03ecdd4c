/** Ratings in and out of a ratings file as JSON lines, and merging what was rated on another machine. */
import { UserError, readJsonLines, writeFileAtomic } from "../../util/index.ts";
import { openLog, readLog } from "./log.ts";
import { itemKey } from "./plan.ts";
import { checked } from "./prediction.ts";
import { type Rating, raterId, ratingSchema } from "./rating.ts";
import { apply, ratingsOf, replay } from "./state.ts";

/** The ratings that stand in a file: a ratings file of `attune rate`, or an export of one. */
export async function readRatings(path: string): Promise<readonly Rating[]> {
  if (!path.endsWith(".gz")) {
    const records = await readLog(path, "the ratings file");
    const [first] = records;
    if (first !== undefined && isStudy(first.value)) return ratingsOf(replay(records, path));
  }
  const ratings: Rating[] = [];
  const seen = new Map<string, number>();
  for await (const { value, line } of readJsonLines(path)) {
    const rating = checked(ratingSchema, value, `${path}:${line}`);
    const name = JSON.stringify([rating.id, rating.system, raterId(rating.rater)]);
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      throw new UserError(`${rating.rater} rates the same reply in line ${earlier}`, {
        at: `${path}:${line}`,
        next: "Keep one of the two.",
      });
    }
    seen.set(name, line);
    ratings.push(rating);
  }
  return ratings;
}

const isStudy = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "type" in value && value.type === "study";

/** Writes one JSON line a rating, with what was rated. */
export async function exportRatings(path: string, ratings: readonly Rating[]): Promise<void> {
  await writeFileAtomic(path, ratings.map((rating) => `${JSON.stringify(rating)}\n`).join(""));
}

export interface ImportSummary {
  readonly added: number;
  /** Already there with the same scores. */
  readonly known: number;
  /** Not taken: the rater has rated that reply otherwise here. */
  readonly conflicts: readonly { readonly id: string; readonly system: string; readonly rater: string }[];
  /** Not taken: the study here has no such reply. */
  readonly foreign: number;
}

/** Adds the ratings of `from` to the study in `path`. What stands there is never changed, and nothing is counted twice. */
export async function importRatings(path: string, from: string): Promise<ImportSummary> {
  const incoming = await readRatings(from);
  const { log, records } = await openLog(path);
  try {
    const state = replay(records, path);
    const { study } = state;
    if (study === undefined) {
      throw new UserError(`${path} holds no study yet`, { next: "Begin it with `attune rate PREDICTIONS`." });
    }
    const added: unknown[] = [];
    const conflicts: { id: string; system: string; rater: string }[] = [];
    let [known, foreign] = [0, 0];
    for (const rating of incoming) {
      const { id, system, rater } = rating;
      const key = itemKey(study.salt, rating);
      if (state.items.get(key)?.prediction !== rating.prediction) {
        foreign += 1;
        continue;
      }
      const before = state.raters.get(raterId(rater));
      const verdict = before?.verdicts.get(key)?.record;
      if (verdict !== undefined) {
        const { fluency, relevance, safety } = rating;
        const same =
          verdict.type === "rating" &&
          verdict.fluency === fluency &&
          verdict.relevance === relevance &&
          verdict.safety === safety &&
          (verdict.comment ?? "") === (rating.comment ?? "");
        if (same) known += 1;
        else conflicts.push({ id, system, rater });
        continue;
      }
      const { fluency, relevance, safety, comment, seconds, at } = rating;
      const revision = before?.revisions.get(key) ?? 0;
      const scores = { fluency, relevance, safety };
      const optional = {
        ...(comment === undefined ? {} : { comment }),
        ...(seconds === undefined ? {} : { seconds }),
      };
      const record = { type: "rating" as const, at, key, rater, revision, ...scores, ...optional };
      const problem = apply(state, record);
      if (problem !== undefined) throw new Error(problem);
      added.push(record);
    }
    if (added.length > 0) await log.append(added);
    return { added: added.length, known, conflicts, foreign };
  } finally {
    await log.close();
  }
}
