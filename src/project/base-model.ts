/** The base model as a configuration asks for it: in float32, in 8 or 4 bits, or as its file stores it. */
import type { Runtime } from "../compute/runtime/index.ts";
import type { ChatModel } from "../model/index.ts";
import {
  type FrozenBase,
  type ModelSpec,
  type HalfBase,
  type InputLevels,
  type Int8Blocks,
  type ResidentModel,
  type Sequence,
  frozenBytes,
  frozenFormats,
  halfForm,
  linearPaths,
  halfBytes,
  inputLevels,
  int8Blocks,
  loadFrozenModel,
  loadHalfModel,
  loadInt8Model,
  loadLlmInt8Model,
  parameterCount,
} from "../model/decoder/index.ts";
import { type Products, blockLinear, largestOfChannel, llmInt8Linear } from "../model/nn/index.ts";
import type { ModelForm } from "../train/index.ts";
import { UserError } from "../util/index.ts";
import { halvesOf } from "./numerics.ts";
import type { TrainConfig } from "./schema.ts";

type Training = Pick<TrainConfig["training"], "base" | "backward" | "blockSize">;

/** Refuses what no base in fewer bits can do; what its blocks cannot hold is refused where bytes are counted. */
export function checkBase(
  config: {
    readonly training: Training;
    readonly lora: { readonly dora?: boolean; readonly modulesToSave?: readonly string[] };
    readonly method?: string;
  },
  spec: ModelSpec,
): void {
  const { training, lora, method = "lora" } = config;
  if (training.base === "float32" && backwardOf(training) === "float32") return;
  const linear = [...linearPaths(spec)];
  const saved = lora.modulesToSave?.find((end) => linear.some((path) => path.endsWith(end)));
  const conflict =
    method !== "lora"
      ? `the method ${method} trains the base itself`
      : lora.dora === true
        ? "lora.dora reads the base's rows as float32"
        : saved === undefined
          ? undefined
          : `lora.modulesToSave trains the base's own ${saved}`;
  if (conflict === undefined) return;
  const name =
    training.base === "float32" ? "training.backward is int8" : `training.base is ${training.base}`;
  throw new UserError(`${name}, but ${conflict}`, {
    next: "Set training.base to float32 and leave training.backward out.",
  });
}

/** An int8 base has its products in 8 bits both ways unless told otherwise; every other one is exact backward. */
export function backwardOf({ base, backward }: Training): Products {
  return backward ?? (base === "int8" ? "int8" : "float32");
}

/**
 * How the base is going to stand, as far as graphs care, and the bytes of its weights; nothing is read. What its file
 * or its layers do not allow is a `UserError`.
 */
export function baseForm(
  { spec, store }: Pick<ChatModel, "spec" | "store">,
  config: TrainConfig,
): { readonly model: ModelForm; readonly weightBytes: number } {
  // A base that is trained itself is in the parameters.
  if (config.method !== "lora") return { model: { spec }, weightBytes: 0 };
  const halves = halvesOf(config);
  if (halves !== undefined) return { model: halfForm(spec, halves), weightBytes: halfBytes(spec, halves) };
  const { base, blockSize } = config.training;
  const backward = backwardOf(config.training);
  const held = (frozen: FrozenBase): number => frozenBytes(spec, store, frozen).weights;
  if (base === "int8") {
    // As rows in 8 bits are, and the vocabulary's table once more; the factors that smooth channels weigh nothing beside.
    const rows = held({ base: "llm-int8", backward: "float32", blockSize });
    const weightBytes = rows + spec.vocabulary * (spec.hiddenSize + 4);
    return { model: { spec }, weightBytes };
  }
  const frozen: FrozenBase = { base, backward, blockSize };
  if (base === "llm-int8")
    return { model: { spec, frozen: llmInt8Linear(new Map(), backward) }, weightBytes: held(frozen) };
  if (base === "float32" && backward === "float32")
    return { model: { spec }, weightBytes: 4 * parameterCount(spec) };
  const linear = blockLinear(frozenFormats(spec, store, frozen), backward);
  return { model: { spec, frozen: linear }, weightBytes: held(frozen) };
}

/** How many tokens show how loud the channels are: a root mean square needs no more, and they are waited for. */
const calibrationTokens = 320;

/** The shortest rows of a batch that have so many tokens together: the most different ones. */
export function calibrationRows(rows: readonly Sequence[]): readonly Sequence[] {
  const chosen: Sequence[] = [];
  let tokens = 0;
  for (const row of [...rows].sort((a, b) => a.ids.length - b.ids.length)) {
    if (tokens >= calibrationTokens) break;
    chosen.push(row);
    tokens += row.ids.length;
  }
  return chosen;
}

/** An 8-bit base that saw a batch: its blocks, or where its outliers are. */
export type CalibratedBase =
  | { readonly base: "int8"; readonly blocks: Int8Blocks }
  | { readonly base: "llm-int8"; readonly maxima: InputLevels };

/** What an 8-bit base needs to see before it can be held; absent for the others. `onWeight` is told after each block that stays. */
export async function calibrateBase(
  runtime: Runtime,
  { spec, store }: Pick<ChatModel, "spec" | "store">,
  { base }: Pick<Training, "base">,
  calibration: () => readonly Sequence[],
  onWeight?: (done: number, total: number) => void,
): Promise<CalibratedBase | undefined> {
  if (base === "int8")
    return { base, blocks: await int8Blocks(runtime, spec, store, calibration(), onWeight) };
  if (base !== "llm-int8") return undefined;
  return { base, maxima: await inputLevels(runtime, spec, store, calibration(), largestOfChannel) };
}

export interface LoadBaseOptions {
  /** What `calibrateBase` made of it. */
  readonly calibrated?: CalibratedBase | undefined;
  readonly onWeight?: ((done: number, total: number) => void) | undefined;
  /** Mixed precision over a float32 base. */
  readonly halves?: HalfBase | undefined;
}

/** No float copy of a base in fewer bits is ever whole in memory. */
export async function loadBase(
  runtime: Runtime,
  { spec, store }: Pick<ChatModel, "spec" | "store">,
  training: Training,
  { calibrated, onWeight, halves }: LoadBaseOptions = {},
): Promise<ResidentModel> {
  const { base, blockSize } = training;
  if (halves !== undefined) return loadHalfModel(runtime, spec, store, halves, onWeight);
  const backward = backwardOf(training);
  if (base === "int8" || base === "llm-int8") {
    if (calibrated?.base !== base) throw new Error(`the base ${base} is not calibrated`);
    return calibrated.base === "int8"
      ? loadInt8Model(runtime, spec, store, calibrated.blocks, onWeight)
      : loadLlmInt8Model(runtime, spec, store, { backward, maxima: calibrated.maxima }, onWeight);
  }
  const frozen: FrozenBase = { base, backward, blockSize };
  return loadFrozenModel(runtime, spec, store, frozen, onWeight);
}
