/** Puts together dataset.json: the figures of every step, and warnings with advice. */
import { formatCount, formatPercent, packageVersion } from "../../util/index.ts";
import {
  type LeakCounts,
  type Manifest,
  type RuleSection,
  SCHEMA_VERSION,
  type SourceSection,
  type SplitSection,
  type WrittenFile,
} from "../dataset/index.ts";
import type { SourceReport } from "../read/index.ts";
import { NO_INTENT, type Split } from "../shape/index.ts";
import type { DataConfig } from "./config.ts";
import type { ShapedRows } from "./shape-rows.ts";
import { namedCounts } from "./write-splits.ts";

/** The seed of the product asks for this many examples. */
const ENOUGH_EXAMPLES = 10_000;

export interface ManifestInputs {
  readonly config: DataConfig;
  readonly sources: readonly SourceReport[];
  readonly sourceNames: readonly string[];
  readonly intentNames: readonly string[];
  readonly rejected: ReadonlyMap<string, number>;
  readonly rows: Manifest["rows"];
  readonly rules: readonly RuleSection[];
  readonly shaped: ShapedRows;
  readonly splits: { readonly [S in Split]: SplitSection };
  readonly rejectedFile: WrittenFile;
  readonly lengths: Manifest["lengths"];
  readonly leaks: LeakCounts;
}

export function makeManifest(inputs: ManifestInputs): Manifest {
  const { config, shaped, intentNames } = inputs;
  // Where the data set lies is not part of what it is: the same input gives the same bytes anywhere.
  const { out: _, ...told } = config;
  const weights = shaped.weights;
  const manifest: Manifest = {
    kind: "attune-dataset",
    schemaVersion: SCHEMA_VERSION,
    madeBy: `attune ${packageVersion()}`,
    seed: config.seed,
    config: told,
    sources: inputs.sources.map(sourceSection),
    rows: inputs.rows,
    rejected: sortedRecord(inputs.rejected),
    rules: [...inputs.rules],
    shape: {
      intentsBefore: namedCounts([...shaped.trainIntentsBefore.entries()], intentNames),
      balance: withNotes(shaped.balance),
      ...(weights === undefined
        ? {}
        : {
            weights: Object.fromEntries(
              intentNames.flatMap((name, k) =>
                shaped.trainIntentsAfter[k]! > 0 ? [[name, weights[k]!]] : [],
              ),
            ),
          }),
      split: {
        fractions: config.shape.split,
        stratificationError: round(shaped.stratificationError),
        singleIntents: [...shaped.singleIntents],
        nearDuplicatesMoved: shaped.nearDuplicatesMoved,
        notes: [...shaped.splitNotes],
      },
      long: {
        ...withNotes(shaped.long),
        wanted: shaped.long.wanted,
      },
      ...(shaped.mix === undefined
        ? {}
        : {
            mix: {
              sources: shaped.mix.sources.map((source, k) => ({ name: inputs.sourceNames[k]!, ...source })),
              notes: [...shaped.mix.notes],
            },
          }),
    },
    splits: inputs.splits,
    rejectedFile: inputs.rejectedFile,
    maxIntentShare: round(shaped.maxIntentShare),
    lengths: inputs.lengths,
    leaks: inputs.leaks,
    warnings: [],
  };
  return { ...manifest, warnings: warningsFor(manifest) };
}

function withNotes<T extends { readonly notes: readonly string[] }>(
  report: T,
): Omit<T, "notes"> & { notes: string[] } {
  return { ...report, notes: [...report.notes] };
}

function sourceSection(source: SourceReport): SourceSection {
  const evidence = [source.layoutEvidence, source.fileFormatEvidence, source.encodingEvidence];
  return {
    name: source.file,
    sha256: source.sha256,
    bytes: source.bytes,
    encoding: source.encoding,
    fileFormat: source.fileFormat,
    layout: source.layout,
    evidence: evidence.filter((part) => part !== undefined).join("; "),
    rowsRead: source.rowsRead,
    rowsKept: source.rowsKept,
    rowsRejected: source.rowsRejected,
    records: source.records,
    replies: source.replies,
    skipped: source.skipReason,
    notes: [...source.notes],
  };
}

function sortedRecord(counts: ReadonlyMap<string, number>): Record<string, number> {
  const entries = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return Object.fromEntries(entries);
}

function warningsFor(manifest: Manifest): Manifest["warnings"] {
  const warnings: Manifest["warnings"] = [];
  const warn = (text: string, advice: string): unknown => warnings.push({ text, advice });
  const { train, validation, test } = manifest.splits;
  if (train.examples < ENOUGH_EXAMPLES) {
    warn(
      `Train has ${formatCount(train.examples)} examples (${formatCount(train.replies)} replies); ${formatCount(ENOUGH_EXAMPLES)} or more are advised.`,
      "Add sources, or relax the rules that removed most: the steps from raw to kept show which.",
    );
  }
  const { balance, long, split, mix } = manifest.shape;
  for (const note of balance.notes) warn(note, "See shape.balance in the config.");
  for (const note of long.notes) warn(note, "Add long conversations, or lower shape.long.share.");
  for (const note of mix?.notes ?? []) warn(note, "Add data to that source, or change its weight.");
  for (const note of split.notes) warn(note, "Add conversations, or change shape.split.");
  const missing = (train.intents[NO_INTENT] ?? 0) / Math.max(1, train.examples);
  if (missing > 0.05) {
    warn(
      `${formatPercent(missing, 1)} of train has no intent and counts as one class.`,
      "Name intents in the source: without them neither balance nor stratification can see what a conversation is about.",
    );
  }
  if (split.singleIntents.length > 0) {
    const shown = split.singleIntents.slice(0, 5).join(", ");
    warn(
      `${formatCount(split.singleIntents.length)} intents stand in a single conversation and are in train only: ${shown}${split.singleIntents.length > 5 ? " …" : ""}`,
      "They are learned but cannot be measured: add conversations of these intents.",
    );
  }
  for (const [name, part, share] of [
    ["Validation", validation, split.fractions.validation],
    ["Test", test, split.fractions.test],
  ] as const) {
    const all = train.replies + validation.replies + test.replies;
    if (share > 0 && part.replies < 0.5 * share * all) {
      warn(
        `${name} has ${formatCount(part.replies)} replies, less than half of the share wanted.`,
        split.nearDuplicatesMoved > 0
          ? `${formatCount(split.nearDuplicatesMoved)} conversations were moved to train because they are nearly the same as others: the data repeats itself.`
          : "Add conversations.",
      );
    }
  }
  if (manifest.leaks.sharedReplies > 0.1) {
    warn(
      `${formatPercent(manifest.leaks.sharedReplies, 1)} of the replies outside train stand word for word in train.`,
      "That is usual for customer service; read scores on the unseen replies too.",
    );
  }
  const { read, rejected } = manifest.rows;
  if (rejected > 0.3 * read) {
    const most = Object.entries(manifest.rejected)[0];
    warn(
      `${formatPercent(rejected / read, 1)} of the rows were rejected${most === undefined ? "" : `, most by ${most[0]} (${formatCount(most[1])})`}.`,
      "Look at rejected.jsonl: each row stands there with its reason.",
    );
  }
  const tokens = manifest.lengths.tokens;
  if (tokens !== undefined && tokens.overLimit > 0) {
    warn(
      `${formatCount(tokens.overLimit)} examples are longer than the ${formatCount(tokens.limit ?? 0)} tokens that ${tokens.model} takes.`,
      `Training drops their oldest turns; the longest has ${formatCount(tokens.longest)} tokens.`,
    );
  }
  const skipped = manifest.sources.filter((source) => source.skipped !== undefined);
  if (skipped.length > 0) {
    const names = skipped.slice(0, 5).map((source) => source.name.split(/[/\\]/).slice(-2).join("/"));
    warn(
      `${formatCount(skipped.length)} ${skipped.length === 1 ? "file was" : "files were"} skipped: ${names.join(", ")}${skipped.length > 5 ? " …" : ""}.`,
      "The list of sources gives the reasons; name a file by itself and force its layout to read it.",
    );
  }
  return warnings;
}

function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
