/** Block by block the batch is as loud as it is in the whole decoder, whatever attention the blocks have. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { GraphBuilder } from "../../compute/graph/index.ts";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { float32 } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { calibrating, inputWeights, largestOfChannel, linear, peakOfChannel, scope } from "../nn/index.ts";
import { memoryWeights } from "../weights/index.ts";
import {
  type ModelSpec,
  batchInputs,
  decoder,
  expectedWeights,
  flatBatch,
  inputLevels,
  loadResidentModel,
  specFromConfig,
} from "./index.ts";

const plain = specFromConfig({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 41,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
});
const sliding: ModelSpec = {
  ...plain,
  slidingWindow: 4,
  layerAttention: ["sliding", "full", "sliding"],
  qkNorm: true,
};

const sequences = [9, 14, 6].map((length, b) => ({
  ids: Array.from({ length }, (_, t) => (t < 3 ? t : (t * 7 + b * 5) % 41)),
  weights: Array.from({ length }, (_, t) => (t > 2 ? 1 : 0)),
}));

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
});

test.each([
  ["full attention, largest", plain, largestOfChannel],
  ["sliding and full attention, norms of heads, peaks", sliding, peakOfChannel],
] as const)("%s", async (_, spec, level) => {
  const dice = random(7, "input levels");
  const store = memoryWeights(
    expectedWeights(spec).map(({ name, shape }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      return [
        name,
        float32(
          shape,
          Float32Array.from({ length: size }, () => dice.normal() / 4),
        ),
      ] as const;
    }),
  );
  const found = await inputLevels(runtime, spec, store, sequences, level);

  const g = new GraphBuilder();
  const observed = calibrating(linear, level, (name, most) => g.output(name, most));
  const options = { linear: observed, queryChunks: 1, recompute: "none", trainable: new Map() } as const;
  const root = scope(g, inputWeights(g));
  decoder(root, spec, batchInputs(g, spec, 1), options);
  await using program = await runtime.compile(g.build());
  const { feeds, longest } = flatBatch(sequences, spec, { queryChunks: 1, lossChunks: 1 });
  const model = await loadResidentModel(runtime, spec, store);
  const all = { ...(await model.feeds(program.inputs, longest)), ...feeds };
  const wanted = Object.fromEntries(program.inputs.map((name) => [name, all[name as keyof typeof all]!]));
  const { outputs } = await program.run(wanted);

  expect([...found.keys()].sort()).toEqual([...program.outputs].sort());
  expect(found.size).toBe(4 * spec.layers);
  for (const [name, most] of found) {
    const want = outputs[name]!.data as Float32Array;
    most.forEach((value, i) => expect(Math.abs(value - want[i]!)).toBeLessThan(1e-5 * Math.max(1, want[i]!)));
  }
});
