/** evaluation.json as the report needs it, checked: a file that somebody changed gives a clear error, not a broken page. */
import { z } from "zod";
import { UserError, parseJson } from "../../util/index.ts";
import { readBoundedFile } from "./bounded-file.ts";

/** JSON has no word for what is not finite. */
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const count = z.int().nonnegative();
const name = z.string().min(1).max(200);

const interval = z.object({ score: figure, low: figure, high: figure });
const paired = z.object({ difference: interval, pValue: figure });

const slice = z.object({
  by: z.enum(["intent", "depth", "length", "seen", "script"]),
  name: z.string().max(300),
  count,
  bleu4: interval,
  rougeL: interval,
  exact: figure,
  perplexity: interval.optional(),
});

const metrics = z.object({
  count,
  empty: count,
  exact: figure,
  language: z.enum(["en", "zh"]),
  bleu4: interval,
  rouge1: interval,
  rouge2: interval,
  rougeL: interval,
  chrf: interval,
  distinct2: figure,
  repetition4: figure,
  referenceRepetition4: figure,
  lengthRatio: figure,
  signatures: z.object({ bleu: z.string().max(500), rouge: z.string().max(500), chrf: z.string().max(500) }),
});

const speed = z.object({
  ttftMsP50: figure,
  ttftMsP95: figure,
  ttftByPrompt: z
    .array(z.object({ prompt: z.string().max(40), prompts: count, p50Ms: figure, p95Ms: figure }))
    .max(20),
  prefillTokensPerSecond: figure,
  decodeTokensPerSecond: figure,
  repliesPerSecondAlone: figure,
  measuredPrompts: count,
  measuredReplies: count,
});

const system = z.object({
  name,
  kind: z.enum(["base", "tuned", "run", "retrieval", "frequent"]),
  about: z.string().max(2000),
  parameters: z.number().optional(),
  metrics,
  perplexity: interval.optional(),
  slices: z.array(slice).max(500),
  comparison: z.object({ against: name, bleu4: paired, rougeL: paired, chrf: paired }).optional(),
  stoppedBy: z.record(z.string().max(60), figure),
  shortenedPrompts: count,
  unansweredPrompts: count,
  meanReplyTokens: figure,
  generation: z.object({
    replies: count,
    seconds: figure,
    repliesPerSecond: figure,
    speedup: figure.optional(),
  }),
  speed: speed.optional(),
  general: z.record(z.string().max(60), z.object({ perplexity: figure, tokens: figure })),
});

const schema = z.object({
  kind: z.literal("attune-evaluation"),
  schemaVersion: z.literal(1),
  /** The command that made it, as it was typed. */
  command: z.string().max(4000).optional(),
  data: z.object({
    path: z.string().max(4000),
    replies: count,
    judged: count,
    seenShare: figure,
  }),
  settings: z.object({ batch: count, maxNewTokens: count, maxTokens: count, seed: z.number() }),
  machine: z.object({
    cpu: z.string().max(300),
    cores: count,
    threads: count,
    precision: z.string().max(60),
    runtime: z.string().max(200),
    node: z.string().max(60),
  }),
  peakBytes: figure,
  warnings: z.array(z.string().max(2000)).max(100),
  systems: z.array(system).min(1).max(24),
});

export type ReportedEvaluation = z.output<typeof schema>;
export type ReportedSystem = ReportedEvaluation["systems"][number];
export type ReportedSlice = z.output<typeof slice>;
export type ReportedInterval = z.output<typeof interval>;

export async function readReportedEvaluation(path: string): Promise<ReportedEvaluation> {
  const text = await readBoundedFile(path, "the evaluation");
  const parsed = schema.safeParse(parseJson(text, path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined ? "" : ` \`${issue.path.map(String).join(".")}\`: ${issue.message}`;
  throw new UserError(`not an evaluation that this Attune can read:${where}`, {
    at: path,
    next: "Make it again with attune evaluate.",
  });
}
