/** `--from-finding`: the settings of a finding over a configuration, and the folder of the run that tries them. */
import { readdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { type FindingRemedy, openRemedy } from "../judge/index.ts";
import { type Resolved, type TrainConfig, isRunFolder, runConfigPath } from "../project/index.ts";
import { UserError } from "../util/index.ts";

export interface FindingSource extends FindingRemedy {
  /** The configuration of the run that was diagnosed, where it stands beside the diagnosis. */
  readonly config?: string;
}

export async function openFinding(reference: string): Promise<FindingSource> {
  const remedy = await openRemedy(reference);
  return (await isRunFolder(remedy.run)) ? { ...remedy, config: runConfigPath(remedy.run) } : remedy;
}

/** What another setting overrules, so that the remedy would change nothing. */
const overruledBy = [
  ["training.epochs", "training.steps", (c: TrainConfig) => c.training.steps],
  ["schedule.warmupShare", "schedule.warmupSteps", (c: TrainConfig) => c.schedule.warmupSteps],
] as const;

/** A remedy that another setting makes idle is no remedy. */
export function refuseIdleRemedy({ config, origins }: Resolved<TrainConfig>, { id }: FindingRemedy): void {
  for (const [key, by, valueOf] of overruledBy) {
    if (origins.get(key) !== `finding ${id}` || valueOf(config) === undefined) continue;
    throw new UserError(`the remedy of ${id} sets ${key}, but ${by} is given and wins`, {
      at: origins.get(by) ?? "the config",
      next: `Take ${by} out of the config, or give the value you want by --set ${by}=….`,
    });
  }
}

/** A folder that is still free: the run's with the finding's name behind it, and a number from 2 on. */
export async function folderForRemedy(base: string, id: string): Promise<string> {
  // `.` and `..` are no names to put something behind.
  const named = ["", ".", ".."].includes(basename(base)) ? resolve(base) : base;
  const stem = `${named.replace(/[\\/]+$/, "")}-${id}`;
  for (let count = 1; count < 1000; count++) {
    const folder = count === 1 ? stem : `${stem}-${count}`;
    const present = await readdir(folder).catch(() => [] as string[]);
    if (present.length === 0) return folder;
  }
  throw new UserError(`a thousand runs are called ${stem}`, { next: "Choose a folder by --out." });
}

/** What the finding changes, for people. */
export function remedyLines({ config, origins }: Resolved<TrainConfig>, { id }: FindingRemedy): string[] {
  const changed = [...origins].filter(([key, origin]) => origin === `finding ${id}` && key !== "out");
  return changed.map(([key]) => `${key} = ${settingText(config, key)} (finding ${id})`);
}

/** A setting's value as JSON. */
export function settingText(config: unknown, key: string): string {
  let value: unknown = config;
  for (const part of key.split(".")) value = (value as Record<string, unknown>)[part];
  return JSON.stringify(value);
}

/** The resolved configuration of the run that tries the remedy, with its own folder in it. */
export function inFolder(
  resolved: Resolved<TrainConfig>,
  folder: string,
  origin: string,
): Resolved<TrainConfig> {
  return {
    config: { ...resolved.config, out: folder },
    origins: new Map(resolved.origins).set("out", origin),
  };
}
