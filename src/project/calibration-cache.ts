/** Calibrations that were measured on this machine, in the user's cache folder: a run reads what a plan measured. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { availableParallelism, homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import type { Runtime } from "../compute/runtime/index.ts";
import type { ModelSpec } from "../model/decoder/index.ts";
import type { Calibration } from "../train/index.ts";
import { packageVersion, readTextFile, writeFileAtomic } from "../util/index.ts";
import { processor } from "./machine.ts";
import type { TrainPlan } from "./plan.ts";

const mostEntries = 40;
const largestFile = 1_000_000;
/** Drivers, other programs and processors' limits change. */
const oldest = 30 * 24 * 3600 * 1000;

const positive = z.number().positive();
const calibrationSchema = z.object({
  rates: z.object({
    operationsPerSecond: z.partialRecord(z.enum(["matrix", "heads", "integer", "blocks"]), positive),
    bytesPerSecond: positive,
    nodeSeconds: positive,
  }),
  passes: z.array(z.object({ seconds: positive, factor: positive })).min(1),
  measuringFactor: positive,
  updateFactor: positive,
});
const fileSchema = z.object({
  schemaVersion: z.literal(1),
  entries: z.array(
    z.object({ key: z.string(), measuredAt: z.iso.datetime(), calibration: calibrationSchema }),
  ),
});
type Entry = z.infer<typeof fileSchema>["entries"][number];

/**
 * `undefined` for a user without a home, as in a container: nothing is kept then. A cache folder that is no absolute
 * path is passed over (XDG Base Directory Specification).
 */
export function calibrationFile(
  environment: NodeJS.ProcessEnv = process.env,
  home: () => string = homedir,
): string | undefined {
  const given = environment["XDG_CACHE_HOME"] ?? "";
  if (isAbsolute(given)) return join(given, "attune", "calibration.json");
  try {
    const folder = home();
    return isAbsolute(folder) ? join(folder, ".cache", "attune", "calibration.json") : undefined;
  } catch {
    return undefined;
  }
}

/** What a calibration depends on: the machine, the runtime and its threads, the model's widths, and what a step computes. */
export function calibrationKey(
  runtime: Pick<Runtime, "name" | "threads">,
  { config, chunks, share }: Pick<TrainPlan, "config" | "chunks" | "share">,
  spec: ModelSpec,
): string {
  const { base, backward, blockSize, precision, activations, checkpointing, dropout, neftune } =
    config.training;
  const { microTokens, lanes } = config.training;
  const training = { base, backward, blockSize, precision, activations, checkpointing, dropout, neftune };
  const identity = {
    attune: packageVersion(),
    machine: [processor().name, availableParallelism(), process.arch],
    runtime: [runtime.name, runtime.threads, process.version],
    spec,
    method: config.method,
    lora: { ...config.lora, from: undefined, alpha: undefined },
    training: { ...training, microTokens, lanes },
    chunks,
    share,
  };
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 32);
}

export async function cachedCalibration(
  key: string,
  path: string | undefined = calibrationFile(),
  now = Date.now(),
): Promise<Calibration | undefined> {
  const entry = (await entriesOf(path)).find((one) => one.key === key);
  if (entry === undefined) return undefined;
  const age = now - Date.parse(entry.measuredAt);
  return age >= 0 && age < oldest ? calibrationOf(entry) : undefined;
}

/** Keeps it for later runs; the oldest go when there are many. What stands in the way of writing is no error. */
export async function keepCalibration(
  key: string,
  calibration: Calibration,
  path: string | undefined = calibrationFile(),
  now = new Date(),
): Promise<void> {
  if (path === undefined) return;
  const others = (await entriesOf(path)).filter((one) => one.key !== key);
  const entries = [...others, { key, measuredAt: now.toISOString(), calibration }].slice(-mostEntries);
  const text = `${JSON.stringify({ schemaVersion: 1, entries })}\n`;
  await writeFileAtomic(path, text).catch(() => {});
}

/** None where the file is missing, too large, or not ours. */
async function entriesOf(path: string | undefined): Promise<readonly Entry[]> {
  if (path === undefined) return [];
  try {
    const found = await stat(path);
    // A pipe of that name would be waited for.
    if (!found.isFile() || found.size > largestFile) return [];
    return fileSchema.parse(JSON.parse(await readTextFile(path, "the calibrations"))).entries;
  } catch {
    return [];
  }
}

function calibrationOf({ calibration: { rates, ...rest } }: Entry): Calibration {
  const given = Object.entries(rates.operationsPerSecond).filter(([, rate]) => rate !== undefined);
  return {
    ...rest,
    rates: {
      ...rates,
      operationsPerSecond: Object.fromEntries(given) as Calibration["rates"]["operationsPerSecond"],
    },
  };
}
