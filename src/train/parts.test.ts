/** The small parts of training: dropout masks, early stopping, batches by step, adapted layers, first values, chunks. */
import { describe, expect, test } from "vitest";
import { parameterLayout, parameterViews } from "../model/nn/index.ts";
import { UserError } from "../util/index.ts";
import { adaptedLayers } from "./adapted-layers.ts";
import { batchSource, validationBatches } from "./batches.ts";
import { byteProbability, dropoutMasks } from "./dropout.ts";
import { type BestSoFar, judge } from "./early-stopping.ts";
import { chunksFor, loraParameters } from "./engine.ts";
import { initialAdapter } from "./initialise.ts";
import { tinySequences, tinySpec } from "./tiny-run.testing.ts";

describe("dropout masks", () => {
  const shapes = new Map([
    ["a", [300, 40]],
    ["b", [300, 24]],
  ] as const);
  const kept = (bits: Uint8Array): number => bits.reduce((sum, bit) => sum + bit, 0) / bits.length;

  test("probabilities are multiples of 1/256", () => {
    expect([0, 0.1, 0.25, 0.5].map((p) => 256 * byteProbability(p))).toEqual([0, 26, 64, 128]);
  });

  test("keep about 1 - p, in every input, and only 0 and 1", () => {
    const masks = dropoutMasks(1, 0.25).masks(0, shapes);
    expect(Object.entries(masks).map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ["a", "bool", [300, 40]],
      ["b", "bool", [300, 24]],
    ]);
    for (const { data } of Object.values(masks)) {
      expect(new Set(data)).toEqual(new Set([0, 1]));
      // Five standard deviations of 7,200 draws.
      expect(Math.abs(kept(data) - 0.75)).toBeLessThan(0.026);
    }
    expect(kept(dropoutMasks(1, 0).masks(0, shapes)["a"]!.data)).toBe(1);
  });

  test("are decided by seed and draw alone, in any order", () => {
    const forward = [0, 1, 2].map((draw) => dropoutMasks(7, 0.5).masks(draw, shapes));
    const one = dropoutMasks(7, 0.5);
    const backward = [2, 1, 0].map((draw) => one.masks(draw, shapes)).reverse();
    expect(backward).toEqual(forward);
    expect(forward[1]!["a"]).not.toEqual(forward[0]!["a"]);
    expect(dropoutMasks(8, 0.5).masks(0, shapes)["a"]).not.toEqual(forward[0]!["a"]);
    // Draws are far apart in the counter's space: one is no shifted copy of the other.
    const [first, second] = forward.map((masks) => masks["a"]!.data) as [Uint8Array, Uint8Array];
    const agreement = first.reduce((sum, bit, i) => sum + (bit === second[i] ? 1 : 0), 0) / first.length;
    expect(Math.abs(agreement - 0.5)).toBeLessThan(0.025);
  });
});

describe("early stopping", () => {
  const options = { patience: 2, minDelta: 0.1 };
  const stateOf = (loss: number, stale: number): BestSoFar => ({ loss, step: 3, stale });

  test("the first evaluation is the best so far", () => {
    expect(judge(undefined, 4, 0, options)).toEqual({
      next: { loss: 4, step: 0, stale: 0 },
      improved: true,
      stop: false,
    });
  });
  test.each([
    ["better by more than minDelta", 3.8, true, false, 0],
    ["better by less", 3.95, false, true, 2],
    ["equal", 4, false, true, 2],
    ["worse", 5, false, true, 2],
    ["not a number", Number.NaN, false, true, 2],
  ])("%s", (_, loss, improved, stop, stale) => {
    const verdict = judge(stateOf(4, 1), loss, 9, options);
    expect({ improved: verdict.improved, stop: verdict.stop, stale: verdict.next.stale }).toEqual({
      improved,
      stop,
      stale,
    });
    expect(verdict.next.step).toBe(improved ? 9 : 3);
  });
});

describe("batches by step", () => {
  const sequences = tinySequences(23, 4);
  const options = { batch: 5, micro: { tokens: 20, share: true }, seed: 3 };
  const idsOf = (source: ReturnType<typeof batchSource>, step: number): string =>
    JSON.stringify(source.batch(step).microBatches.map((micro) => micro.map(({ ids }) => Array.from(ids))));

  test("a step means the same batch whenever and in whatever order it is asked for", () => {
    const source = batchSource(sequences, options);
    const steps = Array.from({ length: 17 }, (_, step) => step);
    const inOrder = steps.map((step) => idsOf(source, step));
    const fresh = steps.map((step) => idsOf(batchSource(sequences, options), step));
    expect(fresh).toEqual(inOrder);
    expect([16, 3, 9, 0, 12].map((step) => idsOf(source, step))).toEqual(
      [16, 3, 9, 0, 12].map((step) => inOrder[step]),
    );
  });

  test("an epoch reads every sequence once, in an order of its own; counts add up", () => {
    const source = batchSource(sequences, options);
    expect(source.stepsPerEpoch).toBe(5);
    const epoch = (from: number): string[] =>
      [0, 1, 2, 3, 4].flatMap((i) =>
        source
          .batch(from + i)
          .microBatches.flat(1)
          .map(({ ids }) => Array.from(ids).join()),
      );
    const all = sequences.map(({ ids }) => Array.from(ids).join()).sort();
    expect([...epoch(0)].sort()).toEqual(all);
    expect([...epoch(5)].sort()).toEqual(all);
    expect(epoch(5)).not.toEqual(epoch(0));
    const total = [0, 1, 2, 3, 4].map((step) => source.batch(step));
    const sum = (pick: (batch: (typeof total)[number]) => number): number =>
      total.reduce((all, batch) => all + pick(batch), 0);
    const weights = sequences.flatMap((sequence) => Array.from(sequence.weights));
    expect([
      sum((b) => b.replies),
      sum((b) => b.tokens),
      sum((b) => b.weight),
      sum((b) => b.supervisedTokens),
    ]).toEqual([
      23,
      weights.length,
      weights.reduce((a, b) => a + b),
      weights.filter((weight) => weight > 0).length,
    ]);
  });

  test("a folded token that counts twice is one supervised token of weight 2", () => {
    const [sequence] = tinySequences(1, 1);
    const folded = { ...sequence!, weights: sequence!.weights.map((weight) => 2 * weight) };
    const [batch] = validationBatches([folded], { tokens: 100, share: true });
    expect(batch!.weight).toBe(2 * batch!.supervisedTokens);
  });

  test("no validation data makes no batch", () => {
    expect(validationBatches([], { tokens: 100, share: true })).toEqual([]);
  });
});

describe("adapted layers", () => {
  const paths = (targets: Parameters<typeof adaptedLayers>[1]): string[] =>
    adaptedLayers(tinySpec, targets).map(({ path }) => path);
  test("by the end of the name, in execution order, with their shapes", () => {
    expect(paths(["v_proj", "q_proj"])).toEqual([
      "model.layers.0.self_attn.q_proj",
      "model.layers.0.self_attn.v_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.self_attn.v_proj",
    ]);
    expect(paths(["layers.1.mlp.down_proj", "model.layers.0.self_attn.k_proj"])).toEqual([
      "model.layers.0.self_attn.k_proj",
      "model.layers.1.mlp.down_proj",
    ]);
    expect(paths("all-linear")).toHaveLength(14);
    expect(adaptedLayers(tinySpec, ["k_proj"])[0]!.shape).toEqual([8, 16]);
  });
  test("a name that fits none is refused with the nearest one", () => {
    const refusal = (targets: readonly string[]): string => {
      try {
        adaptedLayers(tinySpec, targets);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        return (error as UserError).message;
      }
      return "no refusal";
    };
    expect(refusal(["q_proj", "v_prj"])).toMatchInlineSnapshot(
      `"lora.targets names "v_prj", but no linear layer ends so. Did you mean v_proj? There are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj."`,
    );
    expect(refusal(["proj"])).toMatchInlineSnapshot(
      `"lora.targets names "proj", but no linear layer ends so. Did you mean q_proj? There are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj."`,
    );
    expect(refusal(["lm_head"])).toMatchInlineSnapshot(
      `"lora.targets names lm_head, which embed_tokens and the vocabulary product share; a low-rank update of it is not supported. Train it whole: lora.modulesToSave: [embed_tokens]."`,
    );
  });
});

test("the first adapter: A uniform within 1/√I as PEFT draws it, B zero, decided by the seed", () => {
  const layout = parameterLayout(loraParameters([{ path: "l", shape: [32, 400] }], 16));
  const views = parameterViews(layout, initialAdapter(layout, 1));
  const a = [...views.get("l.lora_A.weight")!];
  const bound = 1 / Math.sqrt(400);
  expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(bound);
  expect(Math.max(...a)).toBeGreaterThan(0.99 * bound);
  expect(Math.abs(a.reduce((x, y) => x + y) / a.length)).toBeLessThan(0.05 * bound);
  // A uniform variable's variance is bound² / 3.
  expect(a.reduce((sum, x) => sum + x * x, 0) / a.length / (bound ** 2 / 3)).toBeCloseTo(1, 1);
  expect(Math.max(...views.get("l.lora_B.weight")!.map(Math.abs))).toBe(0);
  expect(initialAdapter(layout, 1)).toEqual(initialAdapter(layout, 1));
  expect(initialAdapter(layout, 2)).not.toEqual(initialAdapter(layout, 1));
});

test("chunks grow with rows and targets", () => {
  expect(chunksFor(160, 2048)).toEqual({ queryChunks: 1, lossChunks: 1 });
  expect(chunksFor(161, 2049)).toEqual({ queryChunks: 2, lossChunks: 2 });
  expect(chunksFor(640, 513)).toEqual({ queryChunks: 4, lossChunks: 1 });
  expect(chunksFor(640, 513, true)).toEqual({ queryChunks: 4, lossChunks: 2 });
  expect(chunksFor(10, 0)).toEqual({ queryChunks: 1, lossChunks: 1 });
});
