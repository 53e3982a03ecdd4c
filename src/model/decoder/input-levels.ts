/** How loud each input channel of a base's linear layers is in a batch. */
import type { Runtime } from "../../compute/runtime/index.ts";
import { type ChannelLevel, calibrating, linear } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { passBlocks } from "./block-pass.ts";
import type { Sequence } from "./flat-batch.ts";
import type { ModelSpec } from "./model-spec.ts";

/** How loud every input channel is, [I], by the name of its smoothing. */
export type InputLevels = ReadonlyMap<string, Float32Array>;

/** Reads every block once, and holds none. */
export async function inputLevels(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  sequences: readonly Sequence[],
  level: ChannelLevel,
): Promise<InputLevels> {
  const levels = new Map<string, Float32Array>();
  const last = await passBlocks(runtime, spec, store, sequences, {
    keep: false,
    build: (g, block) => block(calibrating(linear, level, (name, loud) => g.output(name, loud))),
    passed: async (prefix, weights, { outputs }) => {
      for (const [name, { data }] of Object.entries(outputs))
        levels.set(`${prefix}${name}`, data as Float32Array);
      for (const held of weights.values()) await runtime.release(held);
    },
  });
  if ("id" in last) await runtime.release(last);
  return levels;
}
