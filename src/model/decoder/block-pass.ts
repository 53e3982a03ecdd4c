/** A batch on its way through a base: in memory are the block that it passes and the one that is read meanwhile. */
import { type Graph, GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor, Feed, Program, RunResult, Runtime } from "../../compute/runtime/index.ts";
import { type Tensor, float32 } from "../../compute/tensor/index.ts";
import { type Linear, inputWeights, rotaryTables, scope } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { decoderBlock } from "./decoder.ts";
import { type Sequence, flatBatch } from "./flat-batch.ts";
import { batchInputs } from "./loss-graph.ts";
import { type ModelSpec, ropeFrequencies } from "./model-spec.ts";
import { weightUploads } from "./weight-uploads.ts";

/** What is watched in a block; names are those within it, such as `mlp.up_proj.weight`. */
export interface BlockObserver {
  /** Has the block built of linear layers that it gives, and adds outputs. */
  readonly build: (g: GraphBuilder, block: (linear: Linear) => void) => void;
  /** Whether these outputs stay on the device. */
  readonly keep: boolean;
  /** Told of every block, whose weights are the observer's from then on. */
  readonly passed: (
    prefix: string,
    weights: ReadonlyMap<string, DeviceTensor>,
    result: Pick<RunResult, "outputs" | "kept">,
  ) => Promise<void>;
}

/** The result of the last block, [T, D], which is the caller's. */
export async function passBlocks(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  sequences: readonly Sequence[],
  { build, keep, passed }: BlockObserver,
): Promise<Feed> {
  const { feeds, longest } = flatBatch(sequences, spec, { queryChunks: 1, lossChunks: 1 });
  const { cos, sin } = rotaryTables(ropeFrequencies(spec), longest);
  const shared: Record<string, Tensor> = { ...feeds, rotaryCos: cos, rotarySin: sin };
  const programs = new Map<string, Program>();
  const programOf = async (layer: number): Promise<Program> => {
    // Blocks differ in nothing else.
    const kind = spec.layerAttention[layer]!;
    let program = programs.get(kind);
    if (program === undefined) {
      program = await runtime.compile(blockGraph(spec, layer, build), { name: "calibration" });
      programs.set(kind, program);
    }
    return program;
  };
  const prefixOf = (layer: number): string => `model.layers.${layer}.`;
  const weightsOf = async (layer: number): Promise<ReadonlyMap<string, DeviceTensor>> => {
    const { hold, all } = weightUploads(runtime);
    for (const input of (await programOf(layer)).inputs)
      if (input !== "x" && shared[input] === undefined)
        hold(input, await store.read(`${prefixOf(layer)}${input}`));
    return all();
  };
  let x: Feed = await embedded(spec, store, feeds["tokenIds"]!);
  try {
    let coming = weightsOf(0);
    for (let layer = 0; layer < spec.layers; layer++) {
      const program = await programOf(layer);
      const observed = program.outputs.filter((name) => name !== "next");
      const weights = await coming;
      const given = Object.fromEntries(
        program.inputs.map((name) => [name, weights.get(name) ?? shared[name] ?? x]),
      );
      const running = program.run(given, {
        keep: keep ? program.outputs : ["next"],
        fetch: keep ? [] : observed,
      });
      // The next block is read while this one computes.
      if (layer + 1 < spec.layers) coming = weightsOf(layer + 1);
      coming.catch(() => {});
      const { outputs, kept } = await running;
      const { next, ...rest } = kept;
      if ("id" in x) await runtime.release(x);
      x = next!;
      await passed(prefixOf(layer), weights, { outputs, kept: rest });
    }
    return x;
  } catch (error) {
    if ("id" in x) await runtime.release(x);
    throw error;
  } finally {
    for (const program of programs.values()) await program[Symbol.asyncDispose]();
  }
}

/** x [T, D] → `next` [T, D], and what is observed. */
function blockGraph(spec: ModelSpec, layer: number, build: BlockObserver["build"]): Graph {
  const g = new GraphBuilder();
  build(g, (linear) => {
    const x = g.input("x", "float32", ["T", spec.hiddenSize]);
    const inputs = batchInputs(g, spec, 1);
    const options = { linear, queryChunks: 1, recompute: "none", trainable: new Map() } as const;
    g.output("next", decoderBlock(scope(g, inputWeights(g)), spec, layer, x, inputs, options));
  });
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
