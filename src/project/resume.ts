/** Going on with a run: what must be as it was, what may differ, and the state to go on from. */
import { type Checkpoint, latestCheckpoint } from "../train/index.ts";
import { UserError, recoverFolder } from "../util/index.ts";
import { plannedWarmup } from "./plan.ts";
import { resolveConfig } from "./resolve.ts";
import { safeChanges } from "./resume-settings.ts";
import {
  type RunFolder,
  isRunFolder,
  readRunManifest,
  runConfigPath,
  runFolder,
  updateRunConfig,
} from "./run-folder.ts";
import { trainConfigSchema } from "./schema.ts";
import type { Notice, PreparedRun } from "./train-run.ts";

export interface ResumeOptions {
  /** Where each setting of this call came from. */
  readonly origins: ReadonlyMap<string, string>;
  /** Of all that decides the run's numbers. */
  readonly fingerprint: string;
  readonly notice: Notice;
}

/** The run in `path`; a `UserError` where there is none. */
export async function existingRun(path: string): Promise<RunFolder> {
  if (await isRunFolder(path)) return runFolder(path);
  throw new UserError(`${path} is not the folder of a run`, { next: "Start the run without --resume." });
}

/**
 * Checks that the run may go on as it is asked to, puts its files back to its newest whole checkpoint and returns
 * that, or `undefined` where there is none and the run starts from its beginning. The caller holds the run's lock.
 */
export async function resumeRun(
  folder: RunFolder,
  prepared: PreparedRun,
  { origins, fingerprint, notice }: ResumeOptions,
): Promise<Checkpoint | undefined> {
  const { path } = folder;
  await refuseOtherContent(path, prepared);
  const checkpoint = await latestCheckpoint(folder.checkpoints, notice);
  if (checkpoint === undefined) notice("there is no checkpoint yet: the run starts from its beginning");
  await takeOverSettings(path, prepared, origins, checkpoint?.progress.step ?? 0, notice);
  if (checkpoint !== undefined && checkpoint.fingerprint !== fingerprint) {
    throw new UserError(`the checkpoints in ${path} were made with other settings, data or model`, {
      next: "Restore config.yaml as the run wrote it, or start a new run under another --out.",
    });
  }
  await recoverFolder(folder.adapter);
  await recoverFolder(folder.model);
  await folder.keepEvents(checkpoint?.progress.events ?? 0);
  if (checkpoint !== undefined && hasFinished(checkpoint, prepared))
    notice(`the run had finished at step ${checkpoint.progress.step}: no step is left to do`);
  return checkpoint;
}

/** All steps are done, or patience has run out. */
function hasFinished({ progress: { step, best } }: Checkpoint, { plan }: PreparedRun): boolean {
  return step >= plan.steps || (best?.stale ?? 0) >= plan.config.evaluation.patience;
}

/** Data and model are compared by what they hold, not by where they are. */
async function refuseOtherContent(path: string, { data, model }: PreparedRun): Promise<void> {
  const manifest = await readRunManifest(path);
  const began = manifest as {
    readonly data?: { readonly sources?: readonly { readonly path: string; readonly sha256: string }[] };
    readonly model?: { readonly weightsFingerprint?: string; readonly textFingerprint?: string };
  };
  const refuse = (what: string): never => {
    throw new UserError(`${what} since the run in ${path} began`, {
      next: "Go on with what it began with, or start a new run under another --out.",
    });
  };
  for (const [index, { path: source, sha256 }] of data.sources.entries())
    if (began.data?.sources?.[index]?.sha256 !== sha256) refuse(`the data in ${source} have changed`);
  if (began.data?.sources?.length !== data.sources.length) refuse("the data have changed");
  if (began.model?.weightsFingerprint !== model.opened.fingerprint)
    refuse("the model's weights have changed");
  if (began.model?.textFingerprint !== model.renderer.fingerprint)
    refuse("the model's chat template or tokenizer has changed");
}

/** Refuses settings that must not change; notes those that may, in the run's own configuration. */
async function takeOverSettings(
  path: string,
  { plan }: PreparedRun,
  origins: ReadonlyMap<string, string>,
  step: number,
  notice: Notice,
): Promise<void> {
  const { config: before } = await resolveConfig(trainConfigSchema, { file: runConfigPath(path) });
  const { stepsPerEpoch } = plan.training;
  const warmupSteps = [plannedWarmup(before, stepsPerEpoch), plan.warmupSteps] as const;
  const changes = safeChanges({ before, after: plan.config, step, warmupSteps }, path);
  if (changes.length === 0) return;
  const notes = new Map<string, string>();
  for (const { key, before: old, after } of changes) {
    const change = `${JSON.stringify(old) ?? "not set"} until step ${step}`;
    notes.set(key, `${origins.get(key) ?? "default"}; ${change}`);
    notice(`${key} is ${JSON.stringify(after) ?? "not set"} from here on; it was ${change}`);
  }
  await updateRunConfig(path, plan.config, notes);
}
