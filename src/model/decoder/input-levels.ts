/** How loud each input channel of a base's linear layers is in a batch: one block at a time, so that none stays in memory. */
import { type Graph, GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor, Feed, Program, Runtime } from "../../compute/runtime/index.ts";
import { type Tensor, float32 } from "../../compute/tensor/index.ts";
import {
  type ChannelLevel,
  calibrating,
  inputWeights,
  linear,
  rotaryTables,
  scope,
  smoothingName,
} from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { decoderBlock, finalNorm } from "./decoder.ts";
import { type Sequence, flatBatch } from "./flat-batch.ts";
import { batchInputs } from "./loss-graph.ts";
import { type ModelSpec, ropeFrequencies } from "./model-spec.ts";
import { weightUploads } from "./weight-uploads.ts";

/** How loud every input channel is, [I], by the name of its smoothing. */
export type InputLevels = ReadonlyMap<string, Float32Array>;

/** Reads one block's weights after another and passes the batch on: what is resident at any time is one block. */
export async function inputLevels(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  sequences: readonly Sequence[],
  level: ChannelLevel,
): Promise<InputLevels> {
  const layout = { queryChunks: 1, lossChunks: 1 };
  const { feeds, longest } = flatBatch(sequences, spec, layout);
  const { cos, sin } = rotaryTables(ropeFrequencies(spec), longest);
  const shared: Record<string, Tensor> = { ...feeds, rotaryCos: cos, rotarySin: sin };
  const levels = new Map<string, Float32Array>();
  const programs = new Map<string, Program>();
  const programOf = async (layer: number): Promise<Program> => {
    // Blocks differ in nothing else.
    const kind = spec.layerAttention[layer]!;
    let program = programs.get(kind);
    if (program === undefined) {
      program = await runtime.compile(blockGraph(spec, layer, level), { name: "calibration" });
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
      for (const name of fetch) levels.set(`${prefix}${name}`, outputs[name]!.data as Float32Array);
      for (const held of weights.values()) await runtime.release(held);
      if ("id" in x) await runtime.release(x);
      x = kept["next"]!;
    }
    levels.set(smoothingName("lm_head"), await vocabularyLevel(runtime, spec, store, level, x));
  } finally {
    if ("id" in x) await runtime.release(x);
    for (const program of programs.values()) await program[Symbol.asyncDispose]();
  }
  return levels;
}

/** x [T, D] → the block's result and the levels; weights and levels are named as within the block. */
function blockGraph(spec: ModelSpec, layer: number, level: ChannelLevel): Graph {
  const g = new GraphBuilder();
  const observed = calibrating(linear, level, (name, loud) => g.output(name, loud));
  const x = g.input("x", "float32", ["T", spec.hiddenSize]);
  const inputs = batchInputs(g, spec, 1);
  const options = { linear: observed, queryChunks: 1, recompute: "none", trainable: new Map() } as const;
  g.output("next", decoderBlock(scope(g, inputWeights(g)), spec, layer, x, inputs, options));
  return g.build();
}

/** The level of what the vocabulary product reads of the last block's result x [T, D]. */
async function vocabularyLevel(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  level: ChannelLevel,
  x: Feed,
): Promise<Float32Array> {
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  g.output("level", level(g, finalNorm(root, spec, g.input("x", "float32", ["T", spec.hiddenSize]))));
  await using program = await runtime.compile(g.build(), { name: "calibration" });
  const norm = program.inputs.find((name) => name !== "x")!;
  const { outputs } = await program.run({ x, [norm]: await store.read(norm) });
  return outputs["level"]!.data as Float32Array;
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
