/** Dropout on the residual stream and on attention: PyTorch's loss and gradient under the same masks, in any layout; off, nothing. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniform } from "../../test/fixtures/formula-weights.ts";
import { adamWDefaults } from "../compute/optim/index.ts";
import { printGraph } from "../compute/graph/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { type Tensor, elementCount, float32, scalar, tensor, zeros } from "../compute/tensor/index.ts";
import {
  type LossGraphOptions,
  type ResidentModel,
  type Sequence,
  dropoutMaskShapes,
  flatBatch,
  loadResidentModel,
  lossGraph,
} from "../model/decoder/index.ts";
import { parameterLayout } from "../model/nn/index.ts";
import { dropoutMasks } from "./dropout.ts";
import { type TrainingEngine, loraParameters, trainingEngine } from "./engine.ts";
import { adapter, file, golden, initialOf, layers, row, spec, store } from "./golden-llama.testing.ts";
import type { Numerics } from "./precision.ts";
import { stepGraph } from "./step-graphs.ts";
import { tinyEngineOptions, tinyResident, tinySequences, tinySpec } from "./tiny-run.testing.ts";

const want = golden<{ residual: number; attention: number; loss: number; gradient: string }>(
  "train/dropout.json",
);
const wanted = new Float32Array(Uint8Array.from(Buffer.from(want.gradient, "base64")).buffer);
const layout = parameterLayout(loraParameters(layers, file.rank));

let runtime: Runtime;
let model: ResidentModel;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  model = await loadResidentModel(runtime, spec, store);
});
afterAll(() => runtime[Symbol.asyncDispose]());

/** The mask of the golden script; a query chunk's is its part of the whole. */
function maskOf(input: string, shape: readonly number[], longest: number): Tensor<"bool"> {
  const keeps = (name: string, count: number, probability: number): boolean[] =>
    Array.from(uniform(name, count), (u) => u >= 2 * probability - 1);
  const place = /^(attentionDropout:.*\.)(\d+)$/.exec(input);
  if (place === null) {
    const bits = keeps(input, elementCount(shape), want.residual);
    return tensor("bool", shape, Uint8Array.from(bits, Number));
  }
  const [batch, kvHeads, group, chunk, keys] = shape as [number, number, number, number, number];
  // Drawn for the longest row of the script; what stands beyond it is padding.
  const length = Math.max(...file.rows.map((ids) => ids.length));
  const whole = keeps(`${place[1]}0`, batch * kvHeads * group * length * length, want.attention);
  const first = Number(place[2]) * chunk;
  const bits = new Uint8Array(elementCount(shape)).fill(1);
  for (let head = 0; head < batch * kvHeads * group; head++)
    for (let query = 0; query < chunk && first + query < length; query++)
      for (let key = 0; key < keys && key < length; key++)
        bits[(head * chunk + query) * keys + key] = Number(
          whole[(head * length + first + query) * length + key],
        );
  expect(longest).toBeGreaterThanOrEqual(length);
  return tensor("bool", shape, bits);
}

async function lossAndGradient(
  changes: Partial<LossGraphOptions>,
): Promise<{ loss: number; gradient: Float32Array }> {
  const options = {
    layout,
    adapter,
    residualDropout: want.residual,
    attentionDropout: want.attention,
    gradients: true,
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
    ...changes,
  } as const;
  await using program = await runtime.compile(lossGraph(spec, options));
  const sequences = file.rows.map((_, i) => row(i));
  const batch = flatBatch(sequences, spec, { ...options, share: false });
  const masks = dropoutMaskShapes(program.inputs, spec, layout, batch, {
    sequences: sequences.length,
    queryChunks: options.queryChunks,
  });
  const shapes = [...masks.residual, ...masks.attention];
  const { outputs } = await program.run({
    ...(await model.feeds(program.inputs, batch.longest)),
    ...batch.feeds,
    ...Object.fromEntries(shapes.map(([name, shape]) => [name, maskOf(name, shape, batch.longest)])),
    parameters: float32([layout.size], initialOf(layout)),
    gradientSum: zeros("float32", [layout.size]),
    lossScale: scalar(1),
  });
  return {
    loss: (outputs["loss"]!.data as Float32Array)[0]!,
    gradient: outputs["gradient"]!.data as Float32Array,
  };
}

const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / b.reduce((sum, x) => sum + x * x, 0));

test.each<[string, Partial<LossGraphOptions>]>([
  ["at once", {}],
  ["in query chunks", { queryChunks: 3 }],
  ["with attention recomputed", { recompute: "attention" }],
  ["with blocks recomputed, in chunks", { recompute: "blocks", queryChunks: 2, lossChunks: 1 }],
])("PyTorch's loss and gradient under the same masks, %s", async (_, changes) => {
  const { loss, gradient } = await lossAndGradient(changes);
  expect(Math.abs(loss / want.loss - 1)).toBeLessThan(1e-5);
  expect(distance(gradient, wanted)).toBeLessThan(1e-4);
});

test("a token that sequences share has one attention mask: that of its place in the first of them", async () => {
  const options = {
    layout,
    adapter,
    attentionDropout: 0.5,
    gradients: true,
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
  } as const;
  await using program = await runtime.compile(lossGraph(spec, options));
  const sequences: Sequence[] = [
    { ids: [3, 4, 5, 6, 7], weights: [0, 1, 1, 1, 1] },
    { ids: [3, 4, 5, 8, 9], weights: [0, 0, 0, 1, 1] },
  ];
  // The third token goes on differently: each sequence reads it for itself.
  const common = 2;
  const run = async (share: boolean, sameMask: boolean) => {
    const batch = flatBatch(sequences, spec, { ...options, share });
    const counts = { sequences: 2, queryChunks: 1 };
    const { attention } = dropoutMaskShapes(program.inputs, spec, layout, batch, counts);
    const masks = [...attention].map(([name, shape]) => {
      const bits = Uint8Array.from(uniform(name, elementCount(shape)), (u) => Number(u >= 0));
      const [, , , length, keys] = shape as [number, number, number, number, number];
      const row = bits.length / 2;
      if (sameMask)
        for (let i = 0; i < row; i++) if (Math.floor(i / keys) % length < common) bits[row + i] = bits[i]!;
      return [name, tensor("bool", shape, bits)] as const;
    });
    const { outputs } = await program.run({
      ...(await model.feeds(program.inputs, batch.longest)),
      ...batch.feeds,
      ...Object.fromEntries(masks),
      parameters: float32([layout.size], initialOf(layout)),
      gradientSum: zeros("float32", [layout.size]),
      lossScale: scalar(1),
    });
    const [loss, gradient] = [outputs["loss"]!, outputs["gradient"]!].map(({ data }) => data as Float32Array);
    return { tokens: batch.tokens, loss: loss![0]!, gradient: gradient! };
  };
  const apart = await run(false, true);
  for (const sameMask of [true, false]) {
    const shared = await run(true, sameMask);
    expect([apart.tokens, shared.tokens]).toEqual([10, 8]);
    expect(Math.abs(shared.loss / apart.loss - 1)).toBeLessThan(1e-5);
    expect(distance(shared.gradient, apart.gradient)).toBeLessThan(1e-4);
  }
  expect((await run(false, false)).loss).not.toBeCloseTo(apart.loss, 3);
});

test("off is the very graph without it", () => {
  const print = (changes: object): string =>
    printGraph(stepGraph({ spec: tinySpec }, { ...tinyEngineOptions(), ...changes }));
  expect(print({ residualDropout: 0, attentionDropout: 0 })).toBe(print({}));
  expect(print({ residualDropout: 0.1 })).not.toBe(print({}));
});

describe("in the engine", () => {
  const sequences: Sequence[] = tinySequences(4, 5);
  const make = async (changes: object): Promise<TrainingEngine> => {
    const options = tinyEngineOptions({ dropout: 0, optimizer: adamWDefaults, ...changes });
    return trainingEngine(await tinyResident(runtime), initialOf(options.layout), options);
  };
  const lossAt = (engine: TrainingEngine, draw: number): Promise<number> =>
    engine.accumulate(sequences, 1, draw);

  test.each([{ residualDropout: 0.2 }, { attentionDropout: 0.2 }])(
    "%o: the draw and the seed decide, bit for bit; evaluation drops nothing; its mean is preserved",
    async (changes) => {
      await using one = await make(changes);
      await using same = await make({ ...changes, recompute: "blocks" });
      await using other = await make({ ...changes, seed: 2 });
      await using without = await make({});
      const first = await lossAt(one, 3);
      expect(await lossAt(same, 3)).toBe(first);
      expect(await lossAt(one, 4)).not.toBe(first);
      expect(await lossAt(other, 3)).not.toBe(first);
      const plain = await without.loss(sequences);
      expect(await one.loss(sequences)).toBe(plain);
      let sum = 0;
      for (let draw = 0; draw < 60; draw++) sum += await lossAt(one, draw);
      // A factor 1 / (1 − p) that was missing would move the loss by far more than dropping does on average.
      expect(Math.abs(sum / 60 / plain - 1)).toBeLessThan(0.03);
    },
  );

  test.each<[string, Numerics]>([
    ["bf16", { precision: "bf16", products: "rounded", activations: "float32" }],
    ["fp16, activations too", { precision: "fp16", products: "rounded", activations: "float16" }],
  ])("in %s the same masks, to rounding", async (_, numerics) => {
    const both = { residualDropout: 0.2, attentionDropout: 0.2 };
    await using exact = await make(both);
    await using rounded = await make({ ...both, numerics });
    const loss = await lossAt(exact, 1);
    expect(Math.abs((await lossAt(rounded, 1)) / loss - 1)).toBeLessThan(0.01);
    // Other masks differ by more than rounding does.
    expect(Math.abs((await lossAt(exact, 2)) / loss - 1)).toBeGreaterThan(0.01);
  });

  test("masks of different purposes are drawn apart", () => {
    const shapes = new Map([["a", [4, 3, 8]]]);
    const bits = (purpose: string) => dropoutMasks(1, 0.5, purpose).masks(0, shapes)["a"]!;
    expect(bits("residual dropout").shape).toEqual([4, 3, 8]);
    expect(bits("residual dropout").data).not.toEqual(bits("attention dropout").data);
    expect(bits("residual dropout")).toEqual(bits("residual dropout"));
  });
});
