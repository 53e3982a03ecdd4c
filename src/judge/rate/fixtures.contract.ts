/** Predictions for the tests of this folder: two or three systems, some intents, English and Chinese. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Prediction } from "./prediction.ts";
import type { Seat, Study } from "./study.ts";

export function somePredictions(
  prompts: number,
  systems: readonly string[] = ["secret-base", "secret-tuned"],
): Prediction[] {
  return Array.from({ length: prompts }, (_, i) => i).flatMap((i) =>
    systems.map((system) => ({
      id: `prompt-${i}`,
      dialogue_id: `dialogue-${Math.floor(i / 2)}`,
      context: [
        { role: "user" as const, content: i % 2 === 0 ? `Where is order ${i}?` : `订单 ${i} 到哪里了？` },
        { role: "assistant" as const, content: "One moment, please." },
        { role: "user" as const, content: `Thanks, I wait. (${i})` },
      ],
      reference: `Order ${i} arrives tomorrow.`,
      intent: ["track", "refund", "cancel"][i % 3]!,
      system,
      prediction: system.endsWith("base") ? `No idea about ${i}.` : `Order ${i} arrives tomorrow, I think.`,
    })),
  );
}

/** A folder of its own, removed after `use`. */
export async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "attune-rate-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export const seat = (rater: string, tab = "tab-one-1"): Seat => ({ rater, tab });

/** Rates what the seat is shown, as `score` says; false when nothing is left. */
export async function rateOne(study: Study, at: Seat, score = 2): Promise<boolean> {
  const { assignment } = study.seat(at);
  if (assignment === undefined) return false;
  const { key, revision } = assignment;
  const scores = { fluency: score, relevance: score, safety: 1 };
  const outcome = await study.rate(at, { key, revision, rater: at.rater, ...scores });
  if (!outcome.saved) throw new Error(outcome.reason);
  return true;
}
