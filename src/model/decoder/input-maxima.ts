/** How loud each input channel of a base's linear layers is in a batch: one block at a time, so that none stays in memory. */
import { type Graph, GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor, Feed, Program, Runtime } from "../../compute/runtime/index.ts";
import { type Tensor, float32 } from "../../compute/tensor/index.ts";
import { calibrating, inputWeights, linear, rotaryTables, scope } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { decoderBlock } from "./decoder.ts";
import { type Sequence, flatBatch } from "./flat-batch.ts";
import { batchInputs } from "./loss-graph.ts";
import { type ModelSpec, ropeFrequencies } from "./model-spec.ts";
import { weightUploads } from "./weight-uploads.ts";

/** The largest |x| of every input channel [I], by the name of its smoothing. */
export type InputMaxima = ReadonlyMap<string, Float32Array>;

/** Reads one block's weights after another and passes the batch on: what is resident at any time is one block. */
export async function inputMaxima(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  sequences: readonly Sequence[],
): Promise<InputMaxima> {
  const layout = { queryChunks: 1, lossChunks: 1 };
  const { feeds, longest } = flatBatch(sequences, spec, layout);
  const { cos, sin } = rotaryTables(ropeFrequencies(spec), longest);
  const shared: Record<string, Tensor> = { ...feeds, rotaryCos: cos, rotarySin: sin };
  const maxima = new Map<string, Float32Array>();
  const programs = new Map<string, Program>();
  const programOf = async (layer: number): Promise<Program> => {
    // Blocks differ in nothing else.
    const kind = spec.layerAttention[layer]!;
    let program = programs.get(kind);
    if (program === undefined) {
      program = await runtime.compile(blockGraph(spec, layer), { name: "calibration" });
      programs.set(kind, program);
    }
    return program;
  };
  const weightsOf = async (layer: number): Promise<ReadonlyMap<string, DeviceTensor>> => {
    const { hold, all } = weightUploads(runtime);
    for (const input of (await programOf(layer)).inputs)
      if (input !== "x" && shared[input] === undefined)
        hold(input, await store.read(`model.layers.${layer}.${input}`));
    return all();
  };
  let x: Feed = await embedded(spec, store, feeds["tokenIds"]!);
  try {
    let coming = weightsOf(0);
    for (let layer = 0; layer < spec.layers; layer++) {
      const program = await programOf(layer);
      const fetch = program.outputs.filter((name) => name !== "next");
      const weights = await coming;
      const given = Object.fromEntries(
        program.inputs.map((name) => [name, weights.get(name) ?? shared[name] ?? x]),
      );
      const running = program.run(given, { keep: ["next"], fetch });
      // The next block is read while this one computes.
      if (layer + 1 < spec.layers) coming = weightsOf(layer + 1);
      coming.catch(() => {});
      const { outputs, kept } = await running;
      const prefix = `model.layers.${layer}.`;
      for (const name of fetch) maxima.set(`${prefix}${name}`, outputs[name]!.data as Float32Array);
      for (const held of weights.values()) await runtime.release(held);
      if ("id" in x) await runtime.release(x);
      x = kept["next"]!;
    }
  } finally {
    if ("id" in x) await runtime.release(x);
    for (const program of programs.values()) await program[Symbol.asyncDispose]();
  }
  return maxima;
}

/** x [T, D] → the block's result and the maxima; weights and maxima are named as within the block. */
function blockGraph(spec: ModelSpec, layer: number): Graph {
  const g = new GraphBuilder();
  const observed = calibrating(linear, (name, most) => g.output(name, most));
  const x = g.input("x", "float32", ["T", spec.hiddenSize]);
  const inputs = batchInputs(g, spec, 1);
  const options = { linear: observed, queryChunks: 1, recompute: "none", trainable: new Map() } as const;
  g.output("next", decoderBlock(scope(g, inputWeights(g)), spec, layer, x, inputs, options));
  return g.build();
}

/** The rows of the embedding matrix that `tokenIds` [T] name, [T, D]. */
async function embedded(spec: ModelSpec, store: WeightStore, tokenIds: Tensor): Promise<Tensor> {
  const table = (await store.read("model.embed_tokens.weight")).data;
  const width = spec.hiddenSize;
  const rows = new Float32Array(tokenIds.data.length * width);
  for (const [at, id] of [...(tokenIds.data as BigInt64Array)].entries())
    rows.set(table.subarray(Number(id) * width, (Number(id) + 1) * width), at * width);
  return float32([tokenIds.data.length, width], rows);
}
