/** From raw sources to a data set on disk: read, clean, shape, write, prove, report. */
import { join } from "node:path";
import type { Readable } from "node:stream";
import { CancelledError, UserError, formatCount, writeFileAtomic } from "../../util/index.ts";
import {
  type LeakReport,
  LineWriter,
  MANIFEST_FILE,
  type Manifest,
  REJECTED_FILE,
  REPORT_FILE,
  checkLeaks,
  manifestToText,
  readExamples,
  renderReport,
  splitFile,
  stageFolder,
} from "../dataset/index.ts";
import type { Rejection } from "../record.ts";
import { type DataConfig, type DataConfigInput, dataConfigSchema } from "./config.ts";
import { Intake } from "./intake.ts";
import type { TokenCounter } from "./lengths.ts";
import { makeManifest } from "./make-manifest.ts";
import { type PrepareProgress, ProgressClock } from "./progress.ts";
import { shapeRows } from "./shape-rows.ts";
import { Spool } from "./spool.ts";
import { takeIn } from "./take-in.ts";
import { writeSplits } from "./write-splits.ts";

export interface PrepareOptions {
  readonly onProgress?: (progress: PrepareProgress) => void;
  readonly signal?: AbortSignal;
  /** Replaces a data set that already stands at `out`. */
  readonly overwrite?: boolean;
  /** The first broken row stops everything with a `UserError`. */
  readonly strict?: boolean;
  /** Counts tokens for the report; without it the report has no token lengths. */
  readonly tokens?: TokenCounter;
  /** Reads and cleans in a thread of its own; by default where there is much to read. The result is the same. */
  readonly threads?: boolean;
  /** Read for the source "-"; the process's standard input by default. */
  readonly stdin?: Readable;
}

export interface PrepareResult {
  readonly folder: string;
  readonly manifest: Manifest;
}

/**
 * Prepares a data set. Memory holds a few numbers a row; the rows themselves wait in a spool file inside the staging
 * folder, which takes the final name only when everything is written and the leak check has found nothing.
 *
 * Errors: `UserError` for a config or source that cannot be used, an occupied `out`, a full disk, nothing left to
 * learn from; `CancelledError` when `signal` fires. Either way nothing stands under `out` that was not there before.
 */
export async function prepareDataset(
  input: DataConfigInput,
  options: PrepareOptions = {},
): Promise<PrepareResult> {
  const config = parseConfig(input);
  const staged = await stageFolder(config.out, {
    overwrite: options.overwrite ?? false,
    marker: MANIFEST_FILE,
  });
  try {
    const manifest = await fill(staged.path, config, options);
    throwIfCancelled(options.signal);
    await staged.commit();
    return { folder: config.out, manifest };
  } finally {
    await staged.discard();
  }
}

function parseConfig(input: DataConfigInput): DataConfig {
  const checked = dataConfigSchema.safeParse(input);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0]!;
  throw new UserError(`the data config is not valid: ${[...issue.path, issue.message].join(": ")}`);
}

/** Everything of one preparation; what has to be closed is closed whatever happens. */
async function fill(folder: string, config: DataConfig, options: PrepareOptions): Promise<Manifest> {
  const { signal } = options;
  const clock = new ProgressClock(options.onProgress);
  const rows = await Spool.create(join(folder, "rows.spool"));
  const shingles = await Spool.create(join(folder, "shingles.spool"));
  const rejectedWriter = await LineWriter.create(join(folder, REJECTED_FILE));
  const rejected = new Map<string, number>();
  const checkCancelled = (): void => throwIfCancelled(signal);
  const tick = (): void => {
    checkCancelled();
    clock.tick();
  };
  const reject = (rejection: Rejection): Promise<void> | undefined => {
    rejected.set(rejection.rule, (rejected.get(rejection.rule) ?? 0) + 1);
    const { source, rule, reason, excerpt } = rejection;
    return rejectedWriter.write(JSON.stringify({ ...source, rule, reason, excerpt }));
  };
  try {
    const intake = new Intake(rows, shingles);
    const taken = await takeIn(config, options, { intake, reject, tick, checkCancelled, clock });
    if (intake.length === 0) throw nothingLeft(taken.read, rejected);

    clock.start("split", intake.pieceConversations.length);
    const shaped = await shapeRows(
      {
        intake,
        rows,
        shingles,
        sourceNames: taken.sourceNames,
        sourceWeights: taken.sourceWeights,
        onPiece: tick,
      },
      config,
    );
    clock.end();

    clock.start("write", intake.length);
    const splits = await writeSplits({
      folder,
      rows,
      intake,
      shaped,

      reject,
      onRow: tick,
    });
    const rejectedFile = await rejectedWriter.finish();
    clock.end();

    const examples = splits.train.examples + splits.validation.examples + splits.test.examples;
    clock.start("check", examples);
    const leaks = await checkLeaks((split) => readExamples(join(folder, splitFile(split))), tick);
    clock.end();
    requireNoLeaks(leaks);

    const leftOut = shaped.leftOut.reduce((sum, why) => sum + (why === 0 ? 0 : 1), 0);
    const kept = intake.length - leftOut;
    if (taken.read !== kept + rejectedFile.lines) {
      throw new Error(`${taken.read} rows read, but ${kept} kept and ${rejectedFile.lines} rejected`);
    }
    const manifest = makeManifest({
      config,
      sources: taken.sources,
      sourceNames: taken.sourceNames,
      intentNames: intake.intents.list,
      rejected,
      rows: { read: taken.read, kept, rejected: rejectedFile.lines },
      rules: taken.rules,
      shaped,
      splits,
      rejectedFile,
      lengths: taken.lengths,
      leaks: leaks.counts,
    });
    await writeFileAtomic(join(folder, MANIFEST_FILE), manifestToText(manifest));
    await writeFileAtomic(join(folder, REPORT_FILE), renderReport(manifest));
    return manifest;
  } finally {
    await Promise.all([rows.remove(), shingles.remove(), rejectedWriter.abandon()]);
  }
}

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new CancelledError("Preparing the data set");
}

function nothingLeft(read: number, rejected: ReadonlyMap<string, number>): UserError {
  const most = [...rejected].sort((a, b) => b[1] - a[1]).slice(0, 3);
  const reasons = most.map(([rule, count]) => `${formatCount(count)} by ${rule}`).join(", ");
  return new UserError(
    `all ${formatCount(read)} rows were rejected (${reasons}), so there is nothing to learn from`,
    {
      next: "Relax the rule that removed most in the config's `clean`, or check the sources.",
    },
  );
}

function requireNoLeaks(leaks: LeakReport): void {
  const { dialogueId, conversation, nearDuplicate } = leaks.counts;
  if (dialogueId + conversation + nearDuplicate === 0) return;
  const first = leaks.found[0]!;
  throw new Error(
    `the splits leak: ${dialogueId} ids, ${conversation} conversations, ${nearDuplicate} near-duplicates; ` +
      `the first: ${first.dialogueId} (${first.split}) is like ${first.otherId} (${first.otherSplit})`,
  );
}
