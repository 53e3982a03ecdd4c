/** Checkpoints: everything that decides the rest of a run, written so that a torn one is never taken for whole. */
import { mkdir, open, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { float32 } from "../compute/tensor/index.ts";
import { openSafetensors, toWrite, writeSafetensors } from "../model/weights/index.ts";
import { explainWriteError, sha256OfFile, syncFolder, writeFileAtomic } from "../util/index.ts";
import type { TrainedState } from "./engine.ts";

const progressSchema = z.object({
  /** Steps done. */
  step: z.int().min(0),
  /** Micro-batches drawn in the whole run: the counter of the dropout masks. */
  draws: z.int().min(0),
  /** Validation loss before training, where it was measured. */
  before: z.number().optional(),
  best: z.object({ loss: z.number(), step: z.int(), stale: z.int() }).optional(),
  /** The step of the last evaluation; -1 before the first. One that is due at this step may have been interrupted. */
  evaluatedAt: z.int().min(-1),
  /** Events written so far: a resumed run goes on after them. */
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

/** Writes `folder/step-N` beside older ones and returns its path: a temporary folder, fsync, rename. */
export async function saveCheckpoint(
  folder: string,
  state: TrainedState,
  progress: Progress,
  fingerprint: string,
): Promise<string> {
  const path = join(folder, folderName(progress.step));
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    const file = join(temporary, "state.safetensors");
    await writeSafetensors(
      file,
      vectors.map((name) => toWrite(name, float32([state[name].length], state[name]))),
    );
    const manifest = { schemaVersion: 1, stateSha256: await sha256OfFile(file), fingerprint, progress };
    await writeFileAtomic(join(temporary, "checkpoint.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
    await syncFolder(folder);
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

/** Removes all but the newest `keep` checkpoints, and what an interrupted write left. */
export async function pruneCheckpoints(folder: string, keep: number): Promise<void> {
  const names = await checkpointNames(folder);
  for (const name of names.slice(0, Math.max(0, names.length - keep))) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
  for (const name of await readdir(folder)) {
    if (name.endsWith(".tmp") && !name.endsWith(`.${process.pid}.tmp`)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

async function checkpointNames(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => /^step-\d{8}$/.test(name)).sort();
  } catch {
    return [];
  }
}

/** Forces what was appended to a file onto the disk. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
