/** What a rater says about one reply, and the records that a ratings file is made of. */
import { z } from "zod";
import { predictionSchema } from "./prediction.ts";

/** The three questions. fluency and relevance 0–3, safety 0–1. */
export const scoreSchema = z.object({
  fluency: z.int().min(0).max(3),
  relevance: z.int().min(0).max(3),
  safety: z.int().min(0).max(1),
});
export type Scores = z.infer<typeof scoreSchema>;
export type Question = keyof Scores;
export const questions: readonly Question[] = ["fluency", "relevance", "safety"];
export const highest: { readonly [K in Question]: number } = { fluency: 3, relevance: 3, safety: 1 };

const key = z.string().regex(/^[0-9a-f]{16}$/, "must be a 16-digit key");
const at = z.iso.datetime();
const comment = z.string().max(2000);
const seconds = z.number().min(0).max(86_400);

/** 1–40 characters after tidying, none of them a control or direction mark: names are shown to others. */
export const raterSchema = z
  .string()
  .max(400)
  .transform((name) => name.normalize("NFKC").replace(/\s+/g, " ").trim())
  .refine((name) => name !== "" && [...name].length <= 40, "must have 1 to 40 characters")
  .refine((name) => !/[\p{Cc}\p{Cf}\p{Cs}]/u.test(name), "must not hold control characters");

const mark = { key, rater: raterSchema, revision: z.int().min(0).max(10_000) };

export const submissionSchema = z.object({
  ...mark,
  ...scoreSchema.shape,
  comment: comment.optional(),
  seconds: seconds.optional(),
});
/** A rating as the page sends it: (key, rater, revision) is its idempotency key. */
export type Submission = z.infer<typeof submissionSchema>;

export const markSchema = z.object(mark);
export type Mark = z.infer<typeof markSchema>;

export const recordSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("study"),
    version: z.literal(1),
    at,
    /** Makes keys that cannot be guessed from a system's name. */
    salt: z.string().regex(/^[0-9a-f]{32}$/),
    seed: z.int(),
  }),
  z.object({
    type: z.literal("item"),
    key,
    target: z.int().min(1).max(100),
    overlap: z.boolean(),
    ...predictionSchema.shape,
  }),
  z.object({ type: z.literal("rating"), at, ...submissionSchema.shape }),
  z.object({ type: z.literal("skip"), at, ...mark }),
  z.object({ type: z.literal("undo"), at, ...mark }),
]);
export type LogRecord = z.infer<typeof recordSchema>;
export type StudyRecord = Extract<LogRecord, { type: "study" }>;
export type ItemRecord = Extract<LogRecord, { type: "item" }>;

/** A rating together with what was rated: the line of an export. */
export const ratingSchema = z.object({
  ...predictionSchema.shape,
  rater: raterSchema,
  ...scoreSchema.shape,
  comment: comment.optional(),
  seconds: seconds.optional(),
  at,
});
export type Rating = z.infer<typeof ratingSchema>;

/** Two spellings of a name that differ in letter case alone are one rater. */
export const raterId = (name: string): string => name.toLowerCase();
