/** dataset.json: everything the report and the tools know of a data set, checked when it is read. */
import { join } from "node:path";
import { z } from "zod";
import { UserError, parseJson, readTextFile } from "../../util/index.ts";

export const SCHEMA_VERSION = 1;
export const MANIFEST_FILE = "dataset.json";
export const REJECTED_FILE = "rejected.jsonl";
export const REPORT_FILE = "report.html";
export const splitFile = (split: string): string => `${split}.jsonl`;

const count = z.int().nonnegative();
const share = z.number().min(0).max(1);
const counts = z.record(z.string(), count);
const text = z.string();

/** Bin i holds values in [edges[i], edges[i + 1]); the last bin is open. */
const histogram = z.object({ edges: z.array(z.number()), counts: z.array(count) });

const place = z.object({
  file: text,
  line: count.optional(),
  column: count.optional(),
  row: count.optional(),
});

/** A text with the matched part between `start` and `end`, in UTF-16 units. */
const example = z.object({
  reason: text,
  dialogueId: text,
  source: place,
  role: text,
  text,
  start: count,
  end: count,
});

const rule = z.object({
  name: text,
  summary: text,
  enabled: z.boolean(),
  seen: count,
  kept: count,
  rejected: count,
  changed: count,
  flagged: count,
  unsupervised: count,
  reasons: counts,
  examples: z.array(example),
  details: z.unknown().optional(),
});

const source = z.object({
  name: text,
  sha256: text.optional(),
  bytes: count.optional(),
  encoding: text.optional(),
  fileFormat: text.optional(),
  layout: text.optional(),
  evidence: text.optional(),
  rowsRead: count,
  rowsKept: count,
  rowsRejected: count,
  records: count,
  replies: count,
  skipped: text.optional(),
  notes: z.array(text),
});

const splitPart = z.object({
  file: text,
  sha256: text,
  bytes: count,
  examples: count,
  conversations: count,
  /** Assistant messages to be learned. */
  replies: count,
  /** Examples by intent, a missing intent under its own name. */
  intents: counts,
});

const balance = z.object({
  method: z.enum(["drop", "weight", "off"]),
  maxShare: share,
  shareBefore: share,
  shareAfter: share,
  dropped: count,
  reached: z.boolean(),
  notes: z.array(text),
});

const shape = z.object({
  /** Training examples by intent before anything was balanced. */
  intentsBefore: counts,
  balance,
  /** Loss weight by intent, where weights balance. */
  weights: z.record(z.string(), z.number().positive()).optional(),
  split: z.object({
    fractions: z.object({ train: share, validation: share, test: share }),
    /** Mean of |examples of an intent in a split − wanted| / examples of the intent, over intents and splits. */
    stratificationError: z.number().nonnegative(),
    /** Intents that a single conversation carries: they are in train. */
    singleIntents: z.array(text),
    nearDuplicatesMoved: count,
    notes: z.array(text),
  }),
  long: z.object({
    overTurns: count,
    wanted: share.optional(),
    shareBefore: share,
    shareAfter: share,
    added: count,
    notes: z.array(text),
  }),
  mix: z
    .object({
      sources: z.array(z.object({ name: text, wanted: share, before: count, after: count })),
      notes: z.array(text),
    })
    .optional(),
});

const leaks = z.object({
  /** Conversations whose id stands in more than one split. */
  dialogueId: count,
  /** Conversations outside train with the same words as one of another split. */
  conversation: count,
  /** Conversations outside train that are near-duplicates of one of another split. */
  nearDuplicate: count,
  threshold: share,
  /** Share of the replies outside train that stand word for word in train: no leak, but worth knowing. */
  sharedReplies: share,
});

const lengths = z.object({
  /** Words of each reply as it was read, and of those that are learned now. */
  replyWordsBefore: histogram,
  replyWordsAfter: histogram,
  /** Exchanges of each example. */
  turnsBefore: histogram,
  turnsAfter: histogram,
  tokens: z
    .object({
      /** Which tokenizer counted. */
      model: text,
      limit: count.optional(),
      overLimit: count,
      longest: count,
      histogram,
    })
    .optional(),
});

export const manifestSchema = z.object({
  kind: z.literal("attune-dataset"),
  schemaVersion: z.literal(SCHEMA_VERSION),
  madeBy: text,
  seed: z.int(),
  config: z.record(z.string(), z.unknown()),
  sources: z.array(source),
  rows: z.object({ read: count, kept: count, rejected: count }),
  /** Rejected rows by rule. */
  rejected: counts,
  rules: z.array(rule),
  shape,
  splits: z.object({ train: splitPart, validation: splitPart, test: splitPart }),
  rejectedFile: z.object({ sha256: text, bytes: count, lines: count }),
  maxIntentShare: share,
  lengths,
  leaks,
  warnings: z.array(z.object({ text, advice: text })),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Histogram = z.infer<typeof histogram>;
export type RuleSection = z.infer<typeof rule>;
export type LeakCounts = z.infer<typeof leaks>;
export type SplitSection = z.infer<typeof splitPart>;
export type SourceSection = z.infer<typeof source>;

/** Stable text of a manifest: two spaces, keys in the order they were made, a line end at the end. */
export function manifestToText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Reads and checks dataset.json of a folder. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST_FILE);
  const remake = "Make the data set again with `attune data prepare`.";
  let raw: string;
  try {
    raw = await readTextFile(path, "the data set's manifest");
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${folder} is not a data set: it has no ${MANIFEST_FILE}`, {
      next: "Name a folder that `attune data prepare … --out FOLDER` made.",
      cause: error,
    });
  }
  const value = parseJson(raw, path);
  const version = (value as { readonly schemaVersion?: unknown } | null)?.schemaVersion;
  if (typeof version === "number" && version !== SCHEMA_VERSION) {
    throw new UserError(
      `the data set has schema version ${version}; this Attune reads version ${SCHEMA_VERSION}`,
      { at: path, next: version > SCHEMA_VERSION ? "Update Attune." : remake },
    );
  }
  const checked = manifestSchema.safeParse(value);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  const where = issue === undefined ? "" : `${issue.path.join(".")}: ${issue.message}`;
  throw new UserError(`the manifest is damaged: ${where}`, { at: path, next: remake });
}
