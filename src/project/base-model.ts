/** The base model as a configuration asks for it: in float32, in 8 or 4 bits, or as its file stores it. */
import type { Runtime } from "../compute/runtime/index.ts";
import type { ChatModel } from "../model/index.ts";
import {
  type FrozenBase,
  type ResidentModel,
  type Sequence,
  frozenBytes,
  loadFrozenModel,
  loadLlmInt8Model,
  loadResidentModel,
  quantisedModel,
} from "../model/decoder/index.ts";
import { type Backward, int8LinearFloatBackward } from "../model/nn/index.ts";
import { UserError } from "../util/index.ts";
import type { TrainConfig } from "./schema.ts";

type Training = Pick<TrainConfig["training"], "base" | "backward" | "blockSize">;

/** Refuses what no base in fewer bits can do; the rest is refused by what counts its bytes. */
export function checkBase(config: {
  readonly training: Training;
  readonly lora: { readonly dora?: boolean };
  readonly method?: string;
}): void {
  const { base } = config.training;
  const plain = base === "float32" && backwardOf(config.training) === "float32";
  if (plain) return;
  const name = base === "float32" ? "training.backward is int8" : `training.base is ${base}`;
  const next = "Set training.base to float32 and leave training.backward out.";
  if (config.method !== undefined && config.method !== "lora")
    throw new UserError(`${name}, but the method ${config.method} trains the base itself`, { next });
  if (config.lora.dora === true)
    throw new UserError(`${name}, but lora.dora reads the base's rows as float32`, { next });
}

/** An int8 base has its products in 8 bits both ways unless told otherwise; every other one is exact backward. */
export function backwardOf({ base, backward }: Training): Backward {
  return backward ?? (base === "int8" ? "int8" : "float32");
}

/**
 * Bytes of the weights and of the largest layer formed anew, in the options of `estimateMemory`; absent where the
 * weights are float32, as those of an int8 base are until they are calibrated. What does not fit is a `UserError`.
 */
export function baseBytes(
  { spec, store }: Pick<ChatModel, "spec" | "store">,
  training: Training,
): { readonly weightBytes?: number; readonly scratchBytes?: number } {
  const { base, blockSize } = training;
  const backward = backwardOf(training);
  if (base === "int8" || (base === "float32" && backward === "float32")) return {};
  const { weights, scratch } = frozenBytes(spec, store, { base, backward, blockSize });
  return { weightBytes: weights, scratchBytes: scratch };
}

/** `calibration`: the batch that shows how loud each channel is, for the 8-bit bases. */
export async function loadBase(
  runtime: Runtime,
  { spec, store }: Pick<ChatModel, "spec" | "store">,
  training: Training,
  calibration: () => readonly Sequence[],
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const { base, blockSize } = training;
  const backward = backwardOf(training);
  if (base === "int8") {
    const loaded = await loadResidentModel(runtime, spec, store, onWeight);
    const model = await quantisedModel(loaded, calibration());
    return backward === "int8" ? model : { ...model, frozen: int8LinearFloatBackward };
  }
  if (base === "llm-int8") {
    return loadLlmInt8Model(runtime, spec, store, { backward, sequences: calibration() }, onWeight);
  }
  const frozen: FrozenBase = { base, backward, blockSize };
  return loadFrozenModel(runtime, spec, store, frozen, onWeight);
}
