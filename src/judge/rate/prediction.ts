/** A system's reply to one prompt: what people rate, and the JSON line that `attune evaluate` writes for it. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { UserError, readJsonLines } from "../../util/index.ts";

// A rater cannot read more; a longer text is a file of another kind.
const longestText = 100_000;
const mostPredictions = 200_000;

const text = z.string().max(longestText);

/** One JSON line. Other fields are let through unread, so that the file may carry more than a rater needs. */
export const predictionSchema = z.object({
  /** Names the prompt: the same in every system's line for it. */
  id: z.union([z.string().min(1).max(300), z.number()]).transform(String),
  dialogue_id: z.union([z.string().min(1).max(300), z.number()]).transform(String),
  context: z
    .array(z.object({ role: z.enum(["system", "user", "assistant", "tool"]), content: text }))
    .min(1)
    .max(500),
  reference: text.optional(),
  intent: z.string().max(300).optional(),
  /** Which system replied; hidden from raters. */
  system: z.string().min(1).max(200),
  prediction: text,
});

export type Prediction = z.infer<typeof predictionSchema>;

/** Reads predictions as JSON lines (`.gz` too). Two lines with one `id` and `system` are an error. */
export async function readPredictions(path: string): Promise<readonly Prediction[]> {
  const predictions: Prediction[] = [];
  const seen = new Map<string, number>();
  for await (const { value, line } of readJsonLines(path)) {
    const prediction = checked(predictionSchema, value, `${path}:${line}`);
    const name = JSON.stringify([prediction.id, prediction.system]);
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      throw new UserError(
        `the reply of "${prediction.system}" to "${prediction.id}" stands already in line ${earlier}`,
        { at: `${path}:${line}`, next: "Keep one line for each `id` and `system`." },
      );
    }
    if (predictions.length === mostPredictions) {
      throw new UserError(`${path} holds more than ${mostPredictions} predictions`, {
        next: "Rate a sample of it.",
      });
    }
    seen.set(name, line);
    predictions.push(prediction);
  }
  if (predictions.length === 0) {
    throw new UserError(`${path} holds no predictions`, {
      next: "Name the predictions.jsonl of an evaluation.",
    });
  }
  return predictions;
}

/** Parses or says which field of the record at `at` breaks which rule. */
export function checked<T>(schema: z.ZodType<T>, value: unknown, at: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const field = issue.path.length === 0 ? "the record" : `\`${issue.path.map(String).join(".")}\``;
  throw new UserError(`${field}: ${issue.message}`, {
    at,
    next: "Mend this line; each needs `id`, `dialogue_id`, `context`, `system` and `prediction`.",
  });
}

/** Equal for predictions that answer the same conversation: the name of their prompt. */
export function promptKey(prediction: Pick<Prediction, "dialogue_id" | "context">): string {
  const turns = prediction.context.map(({ role, content }) => [role, content]);
  return createHash("sha256")
    .update(JSON.stringify([prediction.dialogue_id, turns]))
    .digest("hex")
    .slice(0, 16);
}
