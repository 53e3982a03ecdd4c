/** A frozen base in 8 bits: smoothing from a calibration batch, weights quantised by row. */
import type { Runtime } from "../../compute/runtime/index.ts";
import { float32, tensor } from "../../compute/tensor/index.ts";
import { smoothingName } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import type { InputLevels } from "./input-levels.ts";
import { expectedWeights, linearLayers, vocabularyWeight } from "./model-spec-weights.ts";
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

/** Root mean square of each column of `weights`, all [·, I], taken together. */
export function rmsOfColumns(weights: readonly Float32Array[], columns: number): Float32Array {
  const squares = new Float64Array(columns);
  let rows = 0;
  for (const weight of weights) {
    rows += weight.length / columns;
    for (let from = 0; from < weight.length; from += columns)
      for (let i = 0; i < columns; i++) {
        const value = weight[from + i]!;
        squares[i]! += value * value;
      }
  }
  return Float32Array.from(squares, (sum) => Math.sqrt(sum / rows));
}

/**
 * s = √(x / w) of each input channel's levels; 1 where a channel is silent. SmoothQuant (Xiao et al., 2023) takes the largest
 * magnitudes. Of the errors' power ‖x/s‖² ‖w s‖², were steps as long as vectors, root mean squares give the least (by
 * Cauchy and Schwarz); a token's step is as long as its peak, so its channels are measured by a mean of higher degree.
 */
export function smoothingOf(inputLevels: Float32Array, weightLevels: Float32Array): Float32Array {
  return inputLevels.map((level, i) => {
    const s = Math.sqrt(level / weightLevels[i]!);
    return Number.isFinite(s) && s > 1e-6 ? s : 1;
  });
}

/**
 * The model with its linear layers in 8 bits; embeddings, norms and biases stay float32. So does the vocabulary's table,
 * beside which it stands in 8 bits for the logits. `levels`: of a calibration batch. Read weight by weight, never as floats all together; `onWeight` is told after
 * each.
 */
export async function loadInt8Model(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  levels: InputLevels,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const { hold, all } = weightUploads(runtime);
  const plain = new Set(expectedWeights(spec).map(({ name }) => name));
  const total = plain.size;
  let done = 0;
  /** Weights [·, I] that read one input. */
  const quantise = (group: string, names: readonly string[], floats: readonly Float32Array[]): void => {
    const columns = levels.get(group)!.length;
    const smoothing = smoothingOf(levels.get(group)!, rmsOfColumns(floats, columns));
    hold(
      group,
      float32(
        [columns],
        smoothing.map((s) => 1 / s),
      ),
    );
    for (const [i, name] of names.entries()) {
      const { codes, scale } = quantiseRows(floats[i]!, columns, smoothing);
      hold(`${name}.int8`, tensor("int8", [scale.length, columns], codes));
      hold(`${name}.scale`, float32([scale.length], scale));
    }
  };
  for (const [group, members] of sharedInputs(spec)) {
    const floats: Float32Array[] = [];
    for (const name of members) {
      floats.push((await store.read(name)).data);
      plain.delete(name);
      onWeight?.(++done, total);
    }
    quantise(group, members, floats);
  }
  const table = vocabularyWeight(spec);
  for (const name of plain) {
    const weight = await store.read(name);
    if (name === table) quantise(smoothingName("lm_head"), ["lm_head.weight"], [weight.data]);
    hold(name, weight);
    onWeight?.(++done, total);
  }
  return residentModel(runtime, spec, await all());
}

/** The weights of linear layers by the smoothing of their input, which those that read the same input share. */
function sharedInputs(spec: ModelSpec): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (let layer = 0; layer < spec.layers; layer++) {
    for (const { name } of linearLayers(spec)) {
      const path = `model.layers.${layer}.${name}`;
      const group = smoothingName(path);
      groups.set(group, [...(groups.get(group) ?? []), `${path}.weight`]);
    }
  }
  return groups;
}
