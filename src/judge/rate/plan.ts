/** Which replies are to be rated, and by how many: balanced over intents, every system on the same prompts. */
import { createHash } from "node:crypto";
import { type Random, random } from "../../util/index.ts";
import { type Prediction, promptKey } from "./prediction.ts";
import type { ItemRecord } from "./rating.ts";

export interface PlanOptions {
  /** At most so many prompts; each comes with the replies of all systems. Default 100. */
  readonly prompts?: number;
  /** Share of the prompts that several people rate, so that agreement can be measured. Default 0.2, at least 10 prompts. */
  readonly overlap?: number;
  /** Raters of each reply in the overlap set; default 3. */
  readonly overlapRaters?: number;
  /** Raters of each other reply; default 1. */
  readonly raters?: number;
  readonly seed?: number;
}

/** The items of a study. Deterministic by seed and salt. */
export function planItems(
  predictions: readonly Prediction[],
  salt: string,
  options: PlanOptions = {},
): ItemRecord[] {
  const source = random(options.seed ?? 0, "rate");
  const prompts = chosenPrompts(predictions, options.prompts ?? 100, source);
  const shared = Math.min(prompts.length, Math.max(10, Math.ceil((options.overlap ?? 0.2) * prompts.length)));
  const overlapping = options.overlap === 0 ? 0 : shared;
  const items = prompts.flatMap((replies, i) =>
    replies.map((prediction): ItemRecord => {
      const overlap = i < overlapping;
      const target = overlap
        ? Math.max(options.overlapRaters ?? 3, options.raters ?? 1)
        : (options.raters ?? 1);
      return { type: "item", key: itemKey(salt, prediction), target, overlap, ...prediction };
    }),
  );
  return source.shuffle(items);
}

/** Names a reply without telling its system. */
export function itemKey(salt: string, prediction: Pick<Prediction, "id" | "system">): string {
  return createHash("sha256")
    .update(JSON.stringify([salt, prediction.id, prediction.system]))
    .digest("hex")
    .slice(0, 16);
}

/** Prompts in turn from each intent, those that most systems answered first. */
function chosenPrompts(predictions: readonly Prediction[], limit: number, source: Random): Prediction[][] {
  const prompts = grouped(predictions, promptKey);
  const byIntent = grouped(source.shuffle([...prompts.values()]), (replies) => replies[0]!.intent ?? "");
  // Sorting is stable: prompts that equally many systems answered stay shuffled.
  const queues = source.shuffle(
    [...byIntent.values()].map((list) => list.sort((a, b) => b.length - a.length)),
  );
  const chosen: Prediction[][] = [];
  for (let round = 0; chosen.length < Math.min(limit, prompts.size); round++) {
    for (const queue of queues) {
      const next = queue[round];
      if (next !== undefined && chosen.length < limit) chosen.push(next);
    }
  }
  return chosen;
}

/** Items by key, in the order in which keys first occur. */
export function grouped<T>(items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
