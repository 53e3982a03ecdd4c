/** Checkpoints: everything that decides the rest of a run, written so that a torn one is never taken for whole. */
import { readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { float32 } from "../compute/tensor/index.ts";
import { openSafetensors, toWrite, writeSafetensors } from "../model/weights/index.ts";
import {
  explainWriteError,
  renameIfThere,
  sha256OfFile,
  syncFolder,
  writeFileAtomic,
  makeFolder,
} from "../util/index.ts";
import type { TrainedState } from "./engine.ts";

const progressSchema = z.object({
  /** Steps done. */
  step: z.int().min(0),
  /** Micro-batches drawn in the whole run: the counter of the dropout masks. */
  draws: z.int().min(0),
  /** Validation loss before training, where it was measured. */
  before: z.number().optional(),
  best: z.object({ loss: z.number(), step: z.int(), stale: z.int() }).optional(),
  /** Of dynamic loss scaling, where products are in float16. */
  scaler: z
    .object({ scale: z.number().gt(0), goodSteps: z.int().min(0), skipped: z.int().min(0) })
    .optional(),
  /** Averages of which the gradient noise scale is the ratio. */
  noise: z.object({ noise: z.number(), signal: z.number(), weight: z.number().min(0).max(1) }).optional(),
  /** The step of the last evaluation; -1 before the first. One that is due at this step may have been interrupted. */
  evaluatedAt: z.int().min(-1),
  /** Events told before this checkpoint's own: a resumed run goes on after them. */
  events: z.int().min(0),
});

/** What a run knows beside its vectors. */
export type Progress = z.infer<typeof progressSchema>;

const manifestSchema = z.object({
  schemaVersion: z.literal(1),
  /** SHA-256 of state.safetensors. */
  stateSha256: z.string(),
  /** SHA-256 of the settings and data that a resumed run must share. */
  fingerprint: z.string(),
  progress: progressSchema,
});

export interface Checkpoint {
  readonly path: string;
  readonly fingerprint: string;
  readonly progress: Progress;
  readonly state: TrainedState;
}

const folderName = (step: number): string => `step-${String(step).padStart(8, "0")}`;
const vectors = ["parameters", "firstMoment", "secondMoment"] as const;

/** What a checkpoint of the same step is called while its successor takes its place. */
const replaced = ".replaced";

/** Where the checkpoint of `step` stands, or will. */
export function checkpointPath(folder: string, step: number): string {
  return join(folder, folderName(step));
}

/** Writes `folder/step-N` beside older ones and returns its path: a temporary folder, fsync, rename. */
export async function saveCheckpoint(
  folder: string,
  state: TrainedState,
  progress: Progress,
  fingerprint: string,
): Promise<string> {
  const path = checkpointPath(folder, progress.step);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await rm(temporary, { recursive: true, force: true });
    await makeFolder(temporary);
    const file = join(temporary, "state.safetensors");
    await writeSafetensors(
      file,
      vectors.map((name) => toWrite(name, float32([state[name].length], state[name]))),
    );
    const manifest = { schemaVersion: 1, stateSha256: await sha256OfFile(file), fingerprint, progress };
    await writeFileAtomic(join(temporary, "checkpoint.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    const previous = await renameIfThere(path, `${path}${replaced}`);
    await rename(temporary, path);
    await syncFolder(folder);
    if (previous) await rm(`${path}${replaced}`, { recursive: true, force: true });
    return path;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explainWriteError(error, path);
  }
}

/** The newest whole checkpoint of `folder`; each that is not whole is passed over with a warning. */
export async function latestCheckpoint(
  folder: string,
  warn: (message: string) => void,
): Promise<Checkpoint | undefined> {
  for (const name of (await checkpointNames(folder)).reverse()) {
    const path = join(folder, name);
    try {
      return await readCheckpoint(path);
    } catch (error) {
      warn(
        `the checkpoint ${path} is damaged and was passed over: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  return undefined;
}

async function readCheckpoint(path: string): Promise<Checkpoint> {
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(path, "checkpoint.json"), "utf8")));
  const file = join(path, "state.safetensors");
  if ((await sha256OfFile(file)) !== manifest.stateSha256)
    throw new Error("its state has another hash than its manifest");
  const { store } = await openSafetensors(file);
  try {
    const [parameters, firstMoment, secondMoment] = await Promise.all(
      vectors.map(async (name) => (await store.read(name)).data),
    );
    return {
      path,
      fingerprint: manifest.fingerprint,
      progress: manifest.progress,
      state: { parameters: parameters!, firstMoment: firstMoment!, secondMoment: secondMoment! },
    };
  } finally {
    await store.close();
  }
}

/**
 * Removes all but the newest `keep` checkpoints and that of step `best`, and what an interrupted write left. A folder
 * is renamed before it is emptied, so that no half of one keeps a checkpoint's name.
 */
export async function pruneCheckpoints(folder: string, keep: number, best?: number): Promise<void> {
  const names = (await checkpointNames(folder)).filter((name) => !name.endsWith(replaced));
  for (const name of await readdir(folder)) {
    const leftOver = name.endsWith(".tmp") && !name.endsWith(`.${process.pid}.tmp`);
    const superseded = name.endsWith(replaced) && names.includes(name.slice(0, -replaced.length));
    if (leftOver || superseded) await rm(join(folder, name), { recursive: true, force: true });
  }
  const kept = new Set(names.slice(-keep));
  if (best !== undefined) kept.add(folderName(best));
  for (const name of names) {
    if (kept.has(name)) continue;
    const doomed = join(folder, `${name}.${process.pid}.old.tmp`);
    await rename(join(folder, name), doomed);
    await rm(doomed, { recursive: true, force: true });
  }
}

/** Oldest first; one that was being replaced stands before its successor. */
async function checkpointNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const rank = (name: string): string =>
    name.endsWith(replaced) ? `${name.slice(0, -replaced.length)}a` : `${name}b`;
  return names
    .filter((name) => /^step-\d{8}(\.replaced)?$/.test(name))
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}
