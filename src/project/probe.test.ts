/** Memory of sample replies is counted for just those runs that show some. */
import { expect, test } from "vitest";
import type { ModelSpec } from "../model/decoder/index.ts";
import { replyMemory } from "./probe.ts";
import { trainConfigSchema } from "./schema.ts";

const spec: ModelSpec = {
  family: "llama",
  architecture: "LlamaForCausalLM",
  hiddenSize: 16,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headWidth: 4,
  mlpWidth: 32,
  vocabulary: 50,
  normEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { kind: "none" } },
  contextLength: 4096,
  layerAttention: ["full", "full"],
  attentionBias: { qkv: false, output: false },
  mlpBias: false,
  qkNorm: false,
  tiedEmbeddings: true,
  activation: "silu",
  eosIds: [1],
};
const heldOut = [{ ids: [1, 2, 3], weights: [0, 1, 1] }];

test.each([
  [{}, true],
  [{ training: { base: "int8" } }, false],
  [{ training: { precision: "fp16" } }, false],
  [{ training: { precision: "bf16" } }, true],
  // The weights that are trained, or whose rows DoRA reads, stay float32.
  [{ training: { precision: "fp16" }, method: "full" }, true],
  [{ training: { precision: "fp16" }, lora: { dora: true } }, true],
  [{ evaluation: { probes: 0 } }, false],
])("%j: %s", (settings, counted) => {
  const config = trainConfigSchema.parse({ model: "m", data: { train: "t" }, ...settings });
  expect(replyMemory(config, spec, heldOut) !== undefined).toBe(counted);
  expect(replyMemory(config, spec, [])).toBeUndefined();
});
