/** A frozen base in 8 bits: smoothing from a calibration batch, weights quantised by row. */
import type { Runtime } from "../../compute/runtime/index.ts";
import { float32, tensor } from "../../compute/tensor/index.ts";
import { smoothingName } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import type { InputMaxima } from "./input-maxima.ts";
import { type ExpectedWeight, expectedWeights, linearLayers } from "./model-spec-weights.ts";
import type { ModelSpec } from "./model-spec.ts";
import { type ResidentModel, residentModel } from "./resident-model.ts";
import { weightUploads } from "./weight-uploads.ts";

export interface Int8Weight {
  /** [O, I] */
  readonly codes: Int8Array;
  /** [O]: weight ≈ code · scale of its row / smoothing of its column. */
  readonly scale: Float32Array;
}

/** Symmetric quantisation by row of W · diag(smoothing). */
export function quantiseRows(weight: Float32Array, columns: number, smoothing: Float32Array): Int8Weight {
  const rows = weight.length / columns;
  const codes = new Int8Array(weight.length);
  const scale = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const from = row * columns;
    let most = 1e-12;
    let sum = 0;
    for (let i = 0; i < columns; i++) {
      const size = Math.abs(weight[from + i]! * smoothing[i]!);
      if (size > most) most = size;
      sum += size;
    }
    // A weight that is no number is no code either: its row says so.
    scale[row] = Number.isNaN(sum) ? Number.NaN : most / 127;
    const inverse = 127 / most;
    // Truncating what is above 0 is half the time of Math.round.
    for (let i = 0; i < columns; i++)
      codes[from + i] = ((weight[from + i]! * smoothing[i]! * inverse + 128.5) | 0) - 128;
  }
  return { codes, scale };
}

/** Raises each of `most` [I] to the largest magnitude of its column in `weight` [O, I]. */
export function raiseToColumns(most: Float32Array, weight: Float32Array): void {
  const columns = most.length;
  for (let from = 0; from < weight.length; from += columns) {
    for (let i = 0; i < columns; i++) {
      const size = Math.abs(weight[from + i]!);
      if (size > most[i]!) most[i] = size;
    }
  }
}

/** s = √(max |x| / max |w|) of each input channel (SmoothQuant with α = ½); 1 where a channel is silent. */
export function smoothingOf(inputMost: Float32Array, weightMost: Float32Array): Float32Array {
  return inputMost.map((most, i) => {
    const s = Math.sqrt(most / weightMost[i]!);
    return Number.isFinite(s) && s > 1e-6 ? s : 1;
  });
}

/**
 * The model with its linear layers in 8 bits; embeddings, norms and the vocabulary product stay float32, and so do
 * biases. `maxima`: of a calibration batch. Read weight by weight, never as floats all together; `onWeight` is told after
 * each.
 */
export async function loadInt8Model(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  maxima: InputMaxima,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const { hold, all } = weightUploads(runtime);
  const plain = new Set(expectedWeights(spec).map(({ name }) => name));
  const total = plain.size;
  let done = 0;
  for (const [group, members] of sharedInputs(spec)) {
    const columns = members[0]!.shape[1]!;
    const weightMost = new Float32Array(columns);
    const floats: Float32Array[] = [];
    for (const { name } of members) {
      const { data } = await store.read(name);
      raiseToColumns(weightMost, data);
      floats.push(data);
    }
    const smoothing = smoothingOf(maxima.get(group)!, weightMost);
    const inverse = smoothing.map((s) => 1 / s);
    hold(group, float32([columns], inverse));
    for (const [i, { name, shape }] of members.entries()) {
      const { codes, scale } = quantiseRows(floats[i]!, columns, smoothing);
      hold(`${name}.int8`, tensor("int8", shape, codes));
      hold(`${name}.scale`, float32([shape[0]!], scale));
      plain.delete(name);
      onWeight?.(++done, total);
    }
  }
  for (const name of plain) {
    hold(name, await store.read(name));
    onWeight?.(++done, total);
  }
  return residentModel(runtime, spec, await all());
}

/** The weights of linear layers by the smoothing of their input, which those that read the same input share. */
function sharedInputs(spec: ModelSpec): ReadonlyMap<string, readonly ExpectedWeight[]> {
  const groups = new Map<string, ExpectedWeight[]>();
  for (let layer = 0; layer < spec.layers; layer++) {
    for (const { name, shape } of linearLayers(spec)) {
      const path = `model.layers.${layer}.${name}`;
      const group = smoothingName(path);
      groups.set(group, [...(groups.get(group) ?? []), { name: `${path}.weight`, shape }]);
    }
  }
  return groups;
}
