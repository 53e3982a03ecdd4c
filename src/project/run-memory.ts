/** Micro-batches and recomputation so that a run fits into memory; where nothing does, the nearest settings that would. */
import { physicalCores } from "../compute/runtime/index.ts";
import type { ChatModel } from "../model/index.ts";
import { type Recompute, inLanes, vocabularyWeight } from "../model/decoder/index.ts";
import {
  type MemoryPrediction,
  type MemoryPredictor,
  type MemoryQuestion,
  type RunGraphs,
  type TrainingBatch,
  memoryPredictor,
} from "../train/index.ts";
import { UserError, formatBytes } from "../util/index.ts";
import { baseForm, checkBase } from "./base-model.ts";
import type { EncodedSets } from "./encoded-sets.ts";
import { engineOptions } from "./engine-options.ts";
import { availableMemoryBytes } from "./machine.ts";
import { bytesOf } from "./memory-size.ts";
import { replyMemory } from "./probe.ts";
import { resolveConfig } from "./resolve.ts";
import { type RunBatches, longestOf, runBatches, shortened } from "./run-batches.ts";
import { runConfigPath } from "./run-folder.ts";
import { type TrainConfig, trainConfigSchema } from "./schema.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** Settings that decide how much memory a run takes, from the least costly change on. */
export interface MemorySettings {
  readonly microTokens: number;
  readonly lanes: number;
  readonly checkpointing: Recompute;
}

/** Longest row in tokens, for advice alone: nothing is shortened unless a user asks for it. */
type Shortened = MemorySettings & { readonly maxLength?: number };

/** A prediction may be wrong by so much; what fits, fits with it. */
export const memoryMargin = 1.05;

/** Micro-batches from the best size on, which is the default; below 256 tokens the products lose speed. */
const microSizes = [700, 512, 384, 256] as const;
const smallSizes = [128, 64] as const;
const checkpointings: readonly Recompute[] = ["none", "attention", "blocks"];
const rowLengths = [768, 512, 384, 256, 128] as const;
/** Steps whose micro-batches are looked at for the largest. */
const stepsSearched = 200;

export interface RunMemory {
  /** How the sets are cut under these settings. */
  readonly batches: (settings: MemorySettings) => RunBatches;
  readonly predict: (settings: Shortened) => MemoryPrediction;
  /** The graphs of a run with these settings. */
  readonly graphs: (settings: MemorySettings) => RunGraphs;
  /** The same run with its base in NF4, and what else is to be set with it; absent where there is none. */
  readonly inFewerBits: () => (RunMemory & { readonly alsoSet: readonly string[] }) | undefined;
  /** The same run without mixed precision, activations in float32. */
  readonly inFloat32: () => RunMemory;
  readonly longest: number;
}

export interface RunMemoryOptions {
  readonly config: TrainConfig;
  readonly model: Pick<ChatModel, "spec" | "store">;
  readonly sets: EncodedSets;
  readonly parts: TrainedParts;
  readonly share: boolean;
  /** Resident before anything of the model is loaded. */
  readonly processBytes: number;
}

export function runMemory(options: RunMemoryOptions): RunMemory {
  const { config, model, sets, parts, share, processBytes } = options;
  const training = sets.training.sequences;
  const validation = sets.validation?.sequences ?? [];
  const longest = longestOf(training, longestOf(validation));
  const table = vocabularyWeight(model.spec);
  const tableTrained = parts.layout.entries.some(({ name }) => name === table);
  const cuts = new Map<string, RunBatches>();
  const cutInto = ({ microTokens, lanes, maxLength }: Omit<Shortened, "checkpointing">): RunBatches => {
    const key = `${microTokens} ${lanes} ${maxLength ?? longest}`;
    let cut = cuts.get(key);
    if (cut === undefined)
      cuts.set(
        key,
        (cut = runBatches(config, shortened(sets, maxLength), { microTokens, lanes, share, tableTrained })),
      );
    return cut;
  };
  const predictor = once((): MemoryPredictor => {
    const runOptions = engineOptions(config, parts, share);
    return memoryPredictor({ ...baseForm(model, config), options: runOptions, processBytes });
  });
  const known = new Map<string, MemoryPrediction>();
  const replies = replyMemory(config, model.spec, validation);
  const predict = ({ checkpointing, ...settings }: Shortened): MemoryPrediction => {
    const { microTokens, lanes, maxLength = longest } = settings;
    const key = JSON.stringify([checkpointing, microTokens, lanes, maxLength]);
    let found = known.get(key);
    if (found === undefined) {
      const cut = cutInto(settings);
      const steps = Math.min(cut.training.stepsPerEpoch, stepsSearched);
      found = predictor().predict({
        recompute: checkpointing,
        ...cut.chunks,
        training: byLane(
          Array.from({ length: steps }, (_, step) => cut.training.batch(step)),
          lanes,
        ),
        validation: byLane(cut.validation, lanes),
        ...(replies === undefined ? {} : { replies }),
      });
      known.set(key, found);
    }
    return found;
  };
  return {
    batches: cutInto,
    predict,
    graphs: ({ checkpointing, ...settings }) =>
      predictor().graphs({ recompute: checkpointing, ...cutInto(settings).chunks }),
    inFewerBits: once(() => {
      const { base } = config.training;
      if (base !== "float32" || config.method !== "lora") return undefined;
      const smaller: TrainConfig = {
        ...config,
        training: { ...config.training, base: "nf4", precision: "float32" },
      };
      try {
        checkBase(smaller, model.spec);
        baseForm(model, smaller);
        const exact = config.training.precision === "float32" ? [] : ["training.precision=float32"];
        return { ...runMemory({ ...options, config: smaller }), alsoSet: exact };
      } catch (error) {
        // A model whose layers are no whole blocks, or a method that reads the base itself.
        if (error instanceof UserError) return undefined;
        throw error;
      }
    }),
    inFloat32: () =>
      runMemory({
        ...options,
        config: {
          ...config,
          training: { ...config.training, precision: "float32", activations: "float32" },
        },
      }),
    longest,
  };
}

/** The micro-batches that each lane computes. */
function byLane(batches: readonly TrainingBatch[], lanes: number): MemoryQuestion["training"] {
  const chosen = batches.map(({ microBatches }) =>
    inLanes(microBatches, lanes).map((indices) => indices.map((index) => microBatches[index]!)),
  );
  return Array.from({ length: lanes }, (_, lane) => chosen.flatMap((ofBatch) => ofBatch[lane]!));
}

/** Predictions of other settings are remembered with what makes them. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Bytes that the process may have resident: as `runtime.memory` says, else what it has and what is free. */
export interface MemoryLimit {
  readonly bytes: number;
  readonly given: boolean;
}

export function memoryLimit(config: Pick<TrainConfig, "runtime">): MemoryLimit {
  const { memory } = config.runtime;
  return memory === undefined
    ? { bytes: process.memoryUsage.rss() + availableMemoryBytes(), given: false }
    : { bytes: bytesOf(memory), given: true };
}

export interface MemoryChoice {
  readonly settings: MemorySettings;
  readonly prediction: MemoryPrediction;
  /** Why it is not the settings that a run has without a limit; absent where it is. */
  readonly reason?: string;
  /** Of the settings that were chosen, by dotted key. */
  readonly origins: ReadonlyMap<string, string>;
}

/** What a plan says of memory. */
export interface PlannedMemory {
  readonly memory: RunMemory;
  readonly choice: MemoryChoice;
  readonly limit: MemoryLimit;
}

/** Settings that may be chosen: nobody set them. */
export interface Choosable {
  readonly microTokens: boolean;
  readonly lanes: boolean;
  readonly checkpointing: boolean;
}

const automaticSettings = ["microTokens", "lanes", "checkpointing"] as const;

/** Those whose value nobody gave. */
export function choosableBy(origins: ReadonlyMap<string, string> | undefined): Choosable {
  if (origins === undefined) return nothingChosen;
  const isDefault = (name: string): boolean => origins.get(`training.${name}`) === "default";
  return {
    microTokens: isDefault("microTokens"),
    lanes: !origins.has("training.lanes"),
    checkpointing: isDefault("checkpointing"),
  };
}

export const nothingChosen: Choosable = { microTokens: false, lanes: false, checkpointing: false };

/**
 * What a run has where memory is no question. An 8-bit base goes in two lanes, since its many short nodes leave the second of two
 * threads waiting, and forms attention's probabilities again, so that two lanes take no more memory than one. Products in
 * float32, which pack their weights for each lane, gain nothing (dev/LOG.md); a base in 4 bits, which each lane would take
 * apart, was not measured. A run from before there were lanes had one.
 */
export function wantedSettings(
  { method, training, runtime }: TrainConfig,
  choosable: Choosable,
): MemorySettings {
  const { microTokens, base, checkpointing } = training;
  const side = runtime.provider === "cpu" && (runtime.threads ?? physicalCores()) > 1;
  const gains = side && method === "lora" && base === "int8";
  const lanes = training.lanes ?? (choosable.lanes && gains ? 2 : 1);
  const again = choosable.checkpointing && lanes > 1 && checkpointing === "none";
  return { microTokens, lanes, checkpointing: again ? "attention" : checkpointing };
}

/** `config` with what was chosen for the run in `folder`, where nobody says otherwise now. */
export async function withChosen(
  config: TrainConfig,
  folder: string,
  origins?: ReadonlyMap<string, string>,
): Promise<TrainConfig> {
  const choosable = choosableBy(origins);
  if (!Object.values(choosable).includes(true)) return config;
  const { config: began } = await resolveConfig(trainConfigSchema, { file: runConfigPath(folder) });
  const training = { ...config.training };
  if (choosable.microTokens) training.microTokens = began.training.microTokens;
  if (choosable.lanes && began.training.lanes !== undefined) training.lanes = began.training.lanes;
  if (choosable.checkpointing) training.checkpointing = began.training.checkpointing;
  return { ...config, training };
}

/**
 * The first settings that fit, from the fastest on: smaller micro-batches cost little, recomputing up to a third more
 * time. Where none fits, the most frugal ones.
 */
export function chooseSettings(
  memory: RunMemory,
  wanted: MemorySettings,
  choosable: Choosable,
  limit: MemoryLimit,
): MemoryChoice {
  const first = memory.predict(wanted);
  const asWanted = { settings: wanted, prediction: first, origins: new Map<string, string>() };
  if (fits(first, limit) || !canFit(first, limit)) return asWanted;
  const others = candidates(memory, wanted, choosable).slice(1);
  if (others.length === 0) return asWanted;
  const settings = others.find((one) => fits(memory.predict(one), limit)) ?? others.at(-1)!;
  const prediction = memory.predict(settings);
  const origin = limit.given ? "the limit is" : "free are";
  const reason = `${settingsText(wanted)} would take about ${formatBytes(first.totalBytes)}, and ${origin} ${formatBytes(limit.bytes)}`;
  const changed = automaticSettings.filter((name) => settings[name] !== wanted[name]);
  const origins = new Map(changed.map((name) => [`training.${name}`, `auto: ${reason}`]));
  return { settings, prediction, reason, origins };
}

/** Which micro-batches a run has. */
export function microBatchText({ microTokens, lanes }: Omit<MemorySettings, "checkpointing">): string {
  return lanes === 1
    ? `micro-batches of ${microTokens} tokens`
    : `${lanes} micro-batches at once, of ${microTokens} tokens together`;
}

function settingsText(settings: MemorySettings): string {
  return `${microBatchText(settings)} with checkpointing ${settings.checkpointing}`;
}

function fits({ totalBytes }: MemoryPrediction, { bytes }: MemoryLimit): boolean {
  return totalBytes * memoryMargin <= bytes;
}

/** Whether what no setting of micro-batches changes leaves any room. */
function canFit(
  { processBytes, runtimeBytes, weightBytes }: MemoryPrediction,
  { bytes }: MemoryLimit,
): boolean {
  return (processBytes + runtimeBytes + weightBytes) * memoryMargin <= bytes;
}

/** From the fastest on, the wanted ones first. */
function candidates(
  { longest }: Pick<RunMemory, "longest">,
  wanted: MemorySettings,
  choosable: Choosable,
): readonly MemorySettings[] {
  const smaller = (sizes: readonly number[]): readonly number[] => {
    if (!choosable.microTokens) return [];
    const below = sizes.filter((size) => size < wanted.microTokens);
    // The longest row goes alone: once it is the largest micro-batch, smaller ones gain nothing.
    const useful = below.findIndex((size) => size <= longest);
    return useful < 0 ? below : below.slice(0, useful + 1);
  };
  const from = checkpointings.indexOf(wanted.checkpointing);
  const modes = choosable.checkpointing ? checkpointings.slice(from) : [wanted.checkpointing];
  const lanesTried = choosable.lanes && wanted.lanes > 1 ? [wanted.lanes, 1] : [wanted.lanes];
  const fast = modes.flatMap((checkpointing) =>
    [wanted.microTokens, ...smaller(microSizes)].flatMap((microTokens) =>
      lanesTried.map((lanes) => ({ microTokens, lanes, checkpointing })),
    ),
  );
  const small = smaller([...microSizes, ...smallSizes]).filter((size) => size < microSizes.at(-1)!);
  const frugal = { lanes: lanesTried.at(-1)!, checkpointing: modes.at(-1)! };
  return [...fast, ...small.map((microTokens) => ({ microTokens, ...frugal }))];
}

interface Advice {
  /** As `key=value`. */
  readonly settings: readonly string[];
  readonly bytes: number;
}

/** Throws a `UserError` that names the nearest settings that fit: those that change no data first. */
export function refuseWithoutMemory(
  { plan: { memory, choice, limit: planned } }: { readonly plan: PlannedMemory },
  limit: MemoryLimit = planned,
): void {
  const { settings, prediction } = choice;
  if (fits(prediction, limit)) return;
  const room = limit.given
    ? `runtime.memory allows ${formatBytes(limit.bytes)}`
    : `${formatBytes(limit.bytes)} are free`;
  const problem = `training needs about ${formatBytes(prediction.totalBytes)} of memory; ${room}`;
  const other = limit.given ? "raise runtime.memory" : "close other programs";
  const found = nearestFit(memory, settings, limit);
  if (found === undefined) {
    const { weightBytes, processBytes, runtimeBytes } = prediction;
    throw new UserError(
      `${problem} (the weights alone take ${formatBytes(weightBytes)}, the program itself ${formatBytes(processBytes + runtimeBytes)})`,
      { next: `Take a smaller model or a machine with more memory, or ${other}.` },
    );
  }
  throw new UserError(problem, {
    next: `Add ${found.settings.map((setting) => `--set ${setting}`).join(" ")} (about ${formatBytes(found.bytes)}), or ${other}.`,
  });
}

function nearestFit(memory: RunMemory, current: MemorySettings, limit: MemoryLimit): Advice | undefined {
  const all = { microTokens: true, lanes: true, checkpointing: true };
  const fewerBits = memory.inFewerBits();
  const bases = [
    { memory, settings: [] as readonly string[] },
    ...(fewerBits === undefined
      ? []
      : [{ memory: fewerBits, settings: ["training.base=nf4", ...fewerBits.alsoSet] }]),
  ];
  const possible = bases.filter((base) => canFit(base.memory.predict(current), limit));
  const lengths = [undefined, ...rowLengths.filter((length) => length < memory.longest)];
  for (const maxLength of lengths) {
    for (const base of possible) {
      const longest = maxLength ?? memory.longest;
      for (const settings of candidates({ longest }, current, all)) {
        const prediction = base.memory.predict({
          ...settings,
          ...(maxLength === undefined ? {} : { maxLength }),
        });
        if (!fits(prediction, limit)) continue;
        const { microTokens, lanes, checkpointing } = settings;
        return {
          settings: [
            ...base.settings,
            ...(microTokens === current.microTokens ? [] : [`training.microTokens=${microTokens}`]),
            ...(lanes === current.lanes ? [] : [`training.lanes=${lanes}`]),
            ...(checkpointing === current.checkpointing ? [] : [`training.checkpointing=${checkpointing}`]),
            ...(maxLength === undefined ? [] : [`training.maxLength=${maxLength}`]),
          ],
          bytes: prediction.totalBytes,
        };
      }
    }
  }
  return undefined;
}
