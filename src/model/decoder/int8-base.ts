/** A frozen base in 8 bits: each block is quantised as it passes a calibration batch on, and stays where it is. */
import { GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor, Feed, Runtime } from "../../compute/runtime/index.ts";
import { inputWeights, outputInt8, outputsInt8, peakOfChannel, scope, smoothingName } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { passBlocks } from "./block-pass.ts";
import { finalNorm, vocabularyTable } from "./decoder.ts";
import type { Sequence } from "./flat-batch.ts";
import { expectedWeights } from "./model-spec-weights.ts";
import type { ModelSpec } from "./model-spec.ts";
import { type ResidentModel, residentModel } from "./resident-model.ts";
import { weightUploads } from "./weight-uploads.ts";

export interface Int8Blocks {
  /** By checkpoint name: linear layers in 8 bits with what smooths their inputs, norms and biases in float32. */
  readonly weights: ReadonlyMap<string, DeviceTensor>;
  /** What the last block made of the batch, [T, D]. */
  readonly last: Feed;
}

/** Reads every block once; two at most stand in float32. `onWeight` is told after each. */
export async function int8Blocks(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  sequences: readonly Sequence[],
  onWeight?: (done: number, total: number) => void,
): Promise<Int8Blocks> {
  const weights = new Map<string, DeviceTensor>();
  const total = expectedWeights(spec).length;
  let done = 0;
  const last = await passBlocks(runtime, spec, store, sequences, {
    keep: true,
    build: (g, block) => outputsInt8(g, peakOfChannel, block),
    passed: async (prefix, floats, { kept }) => {
      for (const [name, held] of Object.entries(kept)) weights.set(`${prefix}${name}`, held);
      for (const [name, held] of floats) {
        if (`${name}.int8` in kept) await runtime.release(held);
        else weights.set(`${prefix}${name}`, held);
      }
      onWeight?.((done += floats.size), total);
    },
  });
  return { weights, last };
}

/**
 * The model of these blocks, whose embeddings and last norm stay float32. So does the vocabulary's table, beside which it
 * stands in 8 bits for the logits.
 */
export async function loadInt8Model(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  { weights: blocks, last }: Int8Blocks,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const { hold, all } = weightUploads(runtime);
  const names = expectedWeights(spec).map(({ name }) => name);
  const rest = names.filter((name) => !name.startsWith("model.layers."));
  for (const [i, name] of rest.entries()) {
    hold(name, await store.read(name));
    onWeight?.(names.length - rest.length + i + 1, names.length);
  }
  const weights = new Map([...blocks, ...(await all())]);
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const read = finalNorm(root, spec, g.input("x", "float32", ["T", spec.hiddenSize]));
  const table = new Map([["lm_head.weight", vocabularyTable(root, spec)]]);
  outputInt8(g, smoothingName("lm_head"), peakOfChannel(g, read), table);
  await using program = await runtime.compile(g.build(), { name: "calibration" });
  const feeds = Object.fromEntries(program.inputs.map((name) => [name, weights.get(name) ?? last]));
  const { kept } = await program.run(feeds, { keep: program.outputs, fetch: [] });
  if ("id" in last) await runtime.release(last);
  return residentModel(runtime, spec, new Map([...weights, ...Object.entries(kept)]));
}
