/** A base as LLM.int8() holds it: 8 bits by row, and float columns for the outlier channels that a first batch shows. */
import type { DeviceTensor, Runtime } from "../../compute/runtime/index.ts";
import { type Tensor, float32, int64 } from "../../compute/tensor/index.ts";
import { type Products, inputName, llmInt8Linear, smoothingName } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { linearPaths, loadFrozenModel } from "./frozen-base.ts";
import type { ModelSpec } from "./model-spec.ts";
import type { InputLevels } from "./input-levels.ts";
import { type ResidentModel, residentModel } from "./resident-model.ts";

/** |x| from which a channel is an outlier: the paper's and bitsandbytes' default. */
const outlierThreshold = 6;

export interface LlmInt8Options {
  readonly backward: Products;
  /** The largest |x| of each channel in the batch that shows the outliers. */
  readonly maxima: InputLevels;
}

/**
 * Which channels are outliers is decided once, by a calibration batch, rather than in each batch anew: the float columns are
 * then the weight's own, and the graph is the same for all batches. No float copy of the base is ever whole in memory.
 */
export async function loadLlmInt8Model(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  { backward, maxima }: LlmInt8Options,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const base = { base: "llm-int8", backward: "float32", blockSize: 64 } as const;
  const rows = await loadFrozenModel(runtime, spec, store, base, onWeight);
  const weights = new Map<string, DeviceTensor>(rows.weights);
  const hold = async (name: string, content: Tensor): Promise<void> => {
    weights.set(name, await runtime.upload(content, { transfer: true }));
  };
  const counts = new Map<string, number>();
  for (const path of linearPaths(spec)) {
    const group = inputName(path);
    const most = maxima.get(smoothingName(path))!;
    const loud = [...most.keys()].filter((channel) => most[channel]! >= outlierThreshold);
    if (loud.length === 0) continue;
    if (!counts.has(group)) {
      counts.set(group, loud.length);
      await hold(`${group}.outliers`, int64([loud.length], loud));
      const regular = most.map((value) => (value >= outlierThreshold ? 0 : 1));
      await hold(`${group}.regular`, float32([regular.length], regular));
    }
    const { data, shape } = await store.read(`${path}.weight`);
    const [outWidth, inWidth] = shape as [number, number];
    const columns = new Float32Array(outWidth * loud.length);
    for (let row = 0; row < outWidth; row++)
      for (const [i, channel] of loud.entries())
        columns[row * loud.length + i] = data[row * inWidth + channel]!;
    await hold(`${path}.weight.outliers`, float32([outWidth, loud.length], columns));
  }
  return residentModel(runtime, spec, weights, llmInt8Linear(counts, backward));
}
