/** A tiny model with everything a run needs, for tests of engine and loop. */
import type { Runtime } from "../compute/runtime/index.ts";
import { adamWDefaults } from "../compute/optim/index.ts";
import { type Tensor, float32 } from "../compute/tensor/index.ts";
import type { FeedSequence } from "../data/feed/index.ts";
import {
  type ModelSpec,
  type ResidentModel,
  expectedWeights,
  loadResidentModel,
  specFromConfig,
} from "../model/decoder/index.ts";
import { parameterLayout } from "../model/nn/index.ts";
import { memoryWeights } from "../model/weights/index.ts";
import { random } from "../util/index.ts";
import { adaptedLayers } from "./adapted-layers.ts";
import { type EngineOptions, loraParameters } from "./engine.ts";

export const tinySpec: ModelSpec = specFromConfig({
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 24,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
});

const rank = 2;

/** LoRA on q and v of the tiny model, with dropout. */
export function tinyEngineOptions(changes: Partial<EngineOptions> = {}): EngineOptions {
  const layers = adaptedLayers(tinySpec, ["q_proj", "v_proj"]);
  const adapted = new Set(layers.map(({ path }) => path));
  return {
    layout: parameterLayout(loraParameters(layers, rank)),
    adapter: { rank, scale: 2, adapts: (path) => adapted.has(path) },
    dropout: 0.25,
    seed: 1,
    optimizer: adamWDefaults,
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
    ...changes,
  };
}

export function tinyResident(runtime: Runtime): Promise<ResidentModel> {
  const dice = random(3, "tiny weights");
  const weights = expectedWeights(tinySpec).map(({ name, shape }): [string, Tensor<"float32">] => {
    const size = shape.reduce((a, b) => a * b, 1);
    const isNorm = name.includes("norm");
    return [
      name,
      float32(
        shape,
        Float32Array.from({ length: size }, () => (isNorm ? 1 : dice.normal() / 4)),
      ),
    ];
  });
  return loadResidentModel(runtime, tinySpec, memoryWeights(weights));
}

/** Sequences in which a token's successor is mostly its double: something to learn. */
export function tinySequences(count: number, seed: number): FeedSequence[] {
  const dice = random(seed, "tiny sequences");
  return Array.from({ length: count }, (_, row) => {
    const ids = Int32Array.from({ length: 4 + dice.integer(6) }, () => dice.integer(24));
    for (let i = 1; i < ids.length; i++) if (dice.next() < 0.8) ids[i] = (2 * ids[i - 1]! + 1) % 24;
    const weights = Float32Array.from(ids, (_id, i) =>
      i > 0 && (i === ids.length - 1 || dice.next() < 0.6) ? 1 : 0,
    );
    return { ids, weights, replies: 1, rows: [row] };
  });
}
