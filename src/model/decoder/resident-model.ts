/** A model whose weights live with a runtime, shared by training, evaluation and generation. */
import type { DeviceTensor, Feed, Runtime } from "../../compute/runtime/index.ts";
import { type Linear, rotaryTables } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { expectedWeights } from "./model-spec-weights.ts";
import { type ModelSpec, ropeFrequencies } from "./model-spec.ts";
import { weightUploads } from "./weight-uploads.ts";

export interface ResidentModel {
  readonly spec: ModelSpec;
  readonly runtime: Runtime;
  /** By checkpoint name; float32 but for those that `frozen` reads. */
  readonly weights: ReadonlyMap<string, DeviceTensor>;
  /** The linear layer that understands how the weights are held; absent: the plain one. */
  readonly frozen?: Linear;
  /** Float32 weights that hold half-precision values alone: mixed precision need not round them again. */
  readonly exact?: ReadonlySet<string>;
  /** The resident weights among `inputs`, and rotary tables that reach `positions`. */
  feeds(inputs: readonly string[], positions: number): Promise<Record<string, Feed>>;
}

/** Reads every weight that the spec calls for and uploads it; `onWeight` is told after each. */
export async function loadResidentModel(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const uploads = weightUploads(runtime);
  const expected = expectedWeights(spec);
  for (const [done, { name }] of expected.entries()) {
    uploads.hold(name, await store.read(name));
    onWeight?.(done + 1, expected.length);
  }
  return residentModel(runtime, spec, await uploads.all());
}

export function residentModel(
  runtime: Runtime,
  spec: ModelSpec,
  weights: ReadonlyMap<string, DeviceTensor>,
  frozen?: Linear,
): ResidentModel {
  let reach = 0;
  let tables: Promise<{ readonly rotaryCos: DeviceTensor; readonly rotarySin: DeviceTensor }> | undefined;
  const rotary = async (positions: number): Promise<Awaited<NonNullable<typeof tables>>> => {
    const { cos, sin } = rotaryTables(ropeFrequencies(spec), positions);
    return {
      rotaryCos: await runtime.upload(cos, { transfer: true }),
      rotarySin: await runtime.upload(sin, { transfer: true }),
    };
  };
  return {
    spec,
    runtime,
    weights,
    ...(frozen === undefined ? {} : { frozen }),
    feeds: async (inputs, positions) => {
      if (positions > reach) {
        // Doubled, so that slowly growing sequences do not make a table each. Another lane may be reading the ones before.
        reach = Math.max(positions, Math.min(2 * reach, spec.contextLength), 512);
        tables = rotary(reach);
      }
      const feeds: Record<string, Feed> = {};
      for (const input of inputs) {
        const weight = weights.get(input);
        if (weight !== undefined) feeds[input] = weight;
      }
      return { ...feeds, ...(await tables) };
    },
  };
}
