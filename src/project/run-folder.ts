/** A run on disk: resolved configuration, data manifest, events, checkpoints, the best adapter. */
import { appendFile, open, readFile, readdir, rm, rmdir, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { UserError, explainWriteError, writeFileAtomic, makeFolder } from "../util/index.ts";
import type { RunEvent } from "../train/index.ts";

export interface RunFolder {
  readonly path: string;
  readonly adapter: string;
  /** The whole model, of a run that trains every weight. */
  readonly model: string;
  readonly checkpoints: string;
  readonly tensorboard: string;
  /** Appends an event with the time of day; in the order of the calls. */
  append(event: RunEvent): Promise<void>;
  /** Makes durable what was appended. */
  sync(): Promise<void>;
  /** Drops all but the first `count` events: those after a checkpoint are told again by the resumed run. */
  keepEvents(count: number): Promise<void>;
}

export interface RunDescription {
  /** The resolved configuration. */
  readonly config: unknown;
  /** Where each of its values came from. */
  readonly origins: ReadonlyMap<string, string>;
  /** Sources with hashes and counts. */
  readonly data: unknown;
  /** Base model: reference, revision, fingerprints. */
  readonly model: unknown;
  /** Writes whatever else the run holds from its beginning into its subfolder `start`. */
  readonly beside?: (path: string) => Promise<void>;
}

const files = { config: "config.yaml", manifest: "run.json", events: "events.jsonl" } as const;

/** Whether `path` holds a run. */
export async function isRunFolder(path: string): Promise<boolean> {
  return stat(join(path, files.manifest)).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Makes a new run; a folder that already holds something is refused. */
export async function createRun(path: string, description: RunDescription): Promise<RunFolder> {
  const present = await readdir(path).catch(() => [] as string[]);
  if (present.length > 0 && !(await isTorn(path, present))) {
    throw new UserError(`the run folder ${path} already exists and is not empty`, {
      next: present.includes(files.manifest)
        ? "Go on with that run by --resume, or choose another --out."
        : "Choose another --out.",
    });
  }
  try {
    await makeFolder(path);
    for (const name of present) await rm(join(path, name), { recursive: true, force: true });
    await writeFileAtomic(join(path, files.config), configWithOrigins(description));
    await description.beside?.(path);
    await writeFileAtomic(join(path, files.events), "");
    const manifest = { schemaVersion: 1, model: description.model, data: description.data };
    await writeFileAtomic(join(path, files.manifest), `${JSON.stringify(manifest, null, 2)}\n`);
  } catch (error) {
    // A run that lacks its manifest would stand in the way of the next attempt.
    for (const name of [...Object.values(files), "start"])
      await rm(join(path, name), { recursive: true, force: true }).catch(() => {});
    await rmdir(path).catch(() => {});
    throw explainWriteError(error, path);
  }
  return runFolder(path);
}

/** What a process leaves that is killed while it makes a run: our files without the manifest, which comes last. */
async function isTorn(path: string, present: readonly string[]): Promise<boolean> {
  const ours =
    /^(config\.yaml|events\.jsonl|start|\.(config\.yaml|events\.jsonl|run\.json)\.[0-9a-f]{12}\.tmp)$/;
  if (!present.every((name) => ours.test(name))) return false;
  if (!present.includes(files.config)) return present.every((name) => name.startsWith("."));
  return (await readFile(join(path, files.config), "utf8")).startsWith(configHeading);
}

/** Writes the configuration anew where a resumed run changed settings; `changed` says what they were. */
export async function updateRunConfig(
  path: string,
  config: unknown,
  changed: ReadonlyMap<string, string>,
): Promise<void> {
  const file = join(path, files.config);
  const before = (await readFile(file, "utf8")).matchAll(/^# {3}([\w.]+): (.*)$/gm);
  const origins = new Map([...before].map(([, key, origin]) => [key!, origin!]));
  for (const [key, note] of changed) origins.set(key, note);
  await writeFileAtomic(file, configWithOrigins({ config, origins }));
}

export function runFolder(path: string): RunFolder {
  const events = join(path, files.events);
  return {
    path,
    adapter: join(path, "adapter"),
    model: join(path, "model"),
    checkpoints: join(path, "checkpoints"),
    tensorboard: join(path, "tensorboard"),
    append: async (event) => {
      try {
        await appendFile(events, `${JSON.stringify({ ...event, time: new Date().toISOString() })}\n`);
      } catch (error) {
        throw explainWriteError(error, events);
      }
    },
    sync: async () => {
      const file = await open(events, "r+");
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    },
    keepEvents: async (count) => {
      const content = await readFile(events);
      let end = 0;
      for (let line = 0; line < count && end !== -1; line++) end = content.indexOf(10, end) + 1 || -1;
      if (end === -1) {
        throw new UserError(`${events} holds fewer than the ${count} events that its checkpoint tells of`, {
          next: "Restore the file, or start the run anew under another --out.",
        });
      }
      await truncate(events, end);
    },
  };
}

/** The events of a run, in order. A torn last line, as a crash leaves it, is passed over. */
export async function readEvents(path: string): Promise<RunEvent[]> {
  const lines = (await readFile(join(path, files.events), "utf8")).split("\n");
  const complete = lines.slice(0, -1).filter((line) => line !== "");
  return complete.map((line) => JSON.parse(line) as RunEvent);
}

export async function readRunManifest(path: string): Promise<{ model: unknown; data: unknown }> {
  return JSON.parse(await readFile(join(path, files.manifest), "utf8")) as { model: unknown; data: unknown };
}

export function runConfigPath(path: string): string {
  return join(path, files.config);
}

const configHeading = "# The resolved configuration of this run. Where each value came from:\n";

function configWithOrigins({ config, origins }: Pick<RunDescription, "config" | "origins">): string {
  const lines = [...origins].map(([key, origin]) => `#   ${key}: ${origin}`);
  return `${configHeading}${lines.join("\n")}\n${stringify(config)}`;
}
