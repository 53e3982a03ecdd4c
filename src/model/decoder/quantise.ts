/** A frozen base in 8 bits: smoothing from a calibration batch, weights quantised by row. */
import { GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor } from "../../compute/runtime/index.ts";
import { type Tensor, float32, tensor } from "../../compute/tensor/index.ts";
import { calibrating, inputWeights, linear, scope, smoothingName } from "../nn/index.ts";
import { decoder } from "./decoder.ts";
import { batchInputs } from "./loss-graph.ts";
import { type Sequence, flatBatch } from "./flat-batch.ts";
import { linearLayers } from "./model-spec-weights.ts";
import { type ResidentModel, residentModel } from "./resident-model.ts";

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
 * biases. `sequences` is the calibration batch. The float32 linear weights of `model` are released.
 */
export async function quantisedModel(
  model: ResidentModel,
  sequences: readonly Sequence[],
): Promise<ResidentModel> {
  const { runtime, spec } = model;
  const largest = await inputMaxima(model, sequences);
  const weights = new Map(model.weights);
  const upload = (value: Tensor): Promise<DeviceTensor> => runtime.upload(value, { transfer: true });
  for (let layer = 0; layer < spec.layers; layer++) {
    const groups = new Map<string, { path: string; shape: readonly number[] }[]>();
    for (const { name, shape } of linearLayers(spec)) {
      const path = `model.layers.${layer}.${name}`;
      const group = smoothingName(path);
      groups.set(group, [...(groups.get(group) ?? []), { path, shape }]);
    }
    for (const [group, members] of groups) {
      const columns = members[0]!.shape[1]!;
      const floats: Float32Array[] = [];
      const weightMost = new Float32Array(columns);
      for (const { path } of members) {
        const resident = weights.get(`${path}.weight`)!;
        const values = (await runtime.download(resident)).data as Float32Array;
        raiseToColumns(weightMost, values);
        floats.push(values);
        weights.delete(`${path}.weight`);
        await runtime.release(resident);
      }
      const smoothing = smoothingOf(largest.get(group)!, weightMost);
      weights.set(
        group,
        await upload(
          float32(
            [columns],
            smoothing.map((s) => 1 / s),
          ),
        ),
      );
      for (const [i, { path, shape }] of members.entries()) {
        const { codes, scale } = quantiseRows(floats[i]!, columns, smoothing);
        weights.set(`${path}.weight.int8`, await upload(tensor("int8", shape, codes)));
        weights.set(`${path}.weight.scale`, await upload(float32([shape[0]!], scale)));
      }
    }
  }
  return residentModel(runtime, spec, weights);
}

/** The largest |x| of every input channel over the calibration batch, by the name of its smoothing. */
export async function inputMaxima(
  model: ResidentModel,
  sequences: readonly Sequence[],
): Promise<Map<string, Float32Array>> {
  const chunks = { queryChunks: 1, lossChunks: 1 };
  const g = new GraphBuilder();
  const names: string[] = [];
  const observed = calibrating(model.frozen ?? linear, (name, most) => {
    names.push(name);
    g.output(name, most);
  });
  decoder(scope(g, inputWeights(g)), model.spec, batchInputs(g, model.spec, chunks.queryChunks), {
    linear: observed,
    queryChunks: chunks.queryChunks,
    recompute: "none",
    trainable: new Map(),
  });
  await using program = await model.runtime.compile(g.build(), { name: "calibration" });
  const { feeds, longest } = flatBatch(sequences, model.spec, chunks);
  const all = { ...(await model.feeds(program.inputs, longest)), ...feeds };
  const wanted = Object.fromEntries(Object.entries(all).filter(([name]) => program.inputs.includes(name)));
  const { outputs } = await program.run(wanted);
  return new Map(names.map((name) => [name, outputs[name]!.data as Float32Array]));
}
