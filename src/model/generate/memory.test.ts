/** Memory of generation, where it can be said by hand. */
import { expect, test } from "vitest";
import type { ModelSpec } from "../decoder/index.ts";
import { generationMemory } from "./memory.ts";

const spec: ModelSpec = {
  family: "llama",
  architecture: "LlamaForCausalLM",
  hiddenSize: 16,
  layers: 4,
  heads: 4,
  kvHeads: 2,
  headWidth: 8,
  mlpWidth: 32,
  vocabulary: 50,
  normEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { kind: "none" } },
  contextLength: 4096,
  layerAttention: ["full", "full", "full", "full"],
  attentionBias: { qkv: false, output: false },
  mlpBias: false,
  qkNorm: false,
  tiedEmbeddings: true,
  activation: "silu",
  eosIds: [1],
};

test("caches grow with the room of a slot: keys and values of every layer and head, in float32", () => {
  const of = (capacity: number): number =>
    generationMemory(spec, { slots: 3, capacity, promptTokens: 10 }).bytes;
  const cache = 2 * 4 * 3 * 2 * 8 * 4;
  // A decoding call holds one layer's new keys and values beside them, at the least.
  expect(of(1001) - of(1000)).toBeGreaterThanOrEqual(cache);
  expect(of(1001) - of(1000)).toBeLessThanOrEqual(2 * cache + 3 * 4 * 2 * 4);
});

test("layers beyond the second count as the second does, in bytes and in nodes", () => {
  const of = (layers: number) =>
    generationMemory(
      { ...spec, layers, layerAttention: Array.from({ length: layers }, () => "full" as const) },
      { slots: 2, capacity: 64, promptTokens: 32 },
    );
  const [two, three, four] = [of(2), of(3), of(4)];
  expect(four.nodes - three.nodes).toBe(three.nodes - two.nodes);
  expect(four.bytes - three.bytes).toBe(three.bytes - two.bytes);
  expect(three.bytes).toBeGreaterThan(two.bytes);
});
