/** Other ways to compute the same gradient: chunks, recomputation, dropout's path, batches, micro-batches, folding. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { type Tensor, elementCount, tensor } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { type Sequence, flatBatch } from "./flat-batch.ts";
import { dropoutPrefix, lossGraph, readsSelected } from "./loss-graph.ts";
import { expectGradients } from "./parity.contract.ts";
import {
  type Family,
  type LossRunOptions,
  type TinyModel,
  formulaVector,
  layoutOf,
  relativeError,
  runLogits,
  runLoss,
  tinyModel,
  unpack,
} from "./tiny-model.testing.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

/** The options that the golden numbers of LoRA on all linear layers were made with. */
function allLinear(model: TinyModel): LossRunOptions & { adapter: object } {
  const { names } = model.golden.lora["all-linear"]!;
  const layout = layoutOf(model.spec, names, model.golden.rank);
  const adapts = (path: string): boolean => names.includes(`${path}.lora_A.weight`);
  const adapter = { rank: model.golden.rank, scale: model.scale, adapts };
  return { layout, parameters: formulaVector(layout), adapter };
}

/** Keep masks for every dropout input of the graph that these options make, by `keep(input, element)`. */
function masksFor(
  model: TinyModel,
  options: LossRunOptions,
  sequences: readonly Sequence[],
  keep: (name: string, at: number) => boolean,
): Record<string, Tensor<"bool">> {
  const { tokens, rows } = flatBatch(sequences, model.spec, { queryChunks: 1, lossChunks: 1 });
  const widths = new Map(options.layout.entries.map(({ name, shape }) => [name, shape.at(-1)!]));
  const graph = lossGraph(model.spec, {
    layout: options.layout,
    adapter: options.adapter!,
    dropout: options.dropout!,
    gradients: false,
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
  });
  const inputs = graph.inputs.filter(({ name }) => name.startsWith(dropoutPrefix));
  return Object.fromEntries(
    inputs.map(({ name }) => {
      const path = name.slice(dropoutPrefix.length);
      const count = readsSelected(model.spec, path) ? rows : tokens;
      const shape = [count, widths.get(`${path}.lora_A.weight`)!];
      const bits = Uint8Array.from({ length: elementCount(shape) }, (_, at) => (keep(name, at) ? 1 : 0));
      return [name, tensor("bool", shape, bits)];
    }),
  );
}

describe.each<Family>(["mistral", "qwen3", "llama-biases"])("%s: the golden gradient also", (family) => {
  const model = tinyModel(family);
  const { loss, gradient } = model.golden.lora["all-linear"]!;
  test.each<[string, Partial<LossRunOptions>]>([
    ["in query chunks", { queryChunks: 3 }],
    ["in as many query chunks as tokens", { queryChunks: 14 }],
    ["in loss chunks, the last padded", { lossChunks: 4 }],
    ["with attention recomputed", { recompute: "attention" }],
    ["with blocks recomputed", { recompute: "blocks" }],
    ["with all of it", { queryChunks: 4, lossChunks: 3, recompute: "blocks" }],
  ])("%s", async (_, variant) => {
    const options = allLinear(model);
    const got = await runLoss(runtime, model, model.sequences, { ...options, ...variant });
    expect(got.loss / loss).toBeCloseTo(1, 5);
    expectGradients(options.layout, got.gradient, unpack(gradient));
  });
});

describe("all weights in training", () => {
  test.each<Family>(["llama2", "qwen2"])("%s: chunks and recomputation", async (family) => {
    const model = tinyModel(family);
    const { names, gradient } = model.golden.full!;
    const layout = layoutOf(model.spec, names, model.golden.rank);
    const options = {
      layout,
      parameters: formulaVector(layout),
      recompute: "blocks",
      lossChunks: 3,
    } as const;
    const got = await runLoss(runtime, model, model.sequences, options);
    expect(got.loss / model.golden.base.loss).toBeCloseTo(1, 5);
    expectGradients(layout, got.gradient, unpack(gradient));
  });
});

describe.each<Family>(["mistral", "qwen3", "llama-biases"])("%s: common beginnings read once", (family) => {
  const model = tinyModel(family);
  const ids = Array.from(model.sequences[0]!.ids).slice(0, 5);
  // A tree: all begin with 3 ids, two of them with 5; one is the beginning of another; one has a target early.
  const sequences: Sequence[] = [
    { ids: [...ids, 7, 8, 9], weights: [0, 0, 0, 0, 0, 0, 1, 0.5] },
    { ids: [...ids, 7, 9], weights: [0, 0, 0, 0, 0, 0, 2] },
    { ids: [...ids.slice(0, 3), 11, 12, 13, 14, 15, 16], weights: [0, 0, 0, 0, 1, 0, 0, 1, 1] },
    { ids: ids.slice(0, 4), weights: [0, 0, 1, 1] },
  ];
  test.each<[string, Partial<LossRunOptions>]>([
    ["as they are", {}],
    ["in query and loss chunks", { queryChunks: 3, lossChunks: 4 }],
    ["with attention recomputed", { recompute: "attention" }],
    ["with blocks recomputed", { recompute: "blocks" }],
  ])("%s: the loss and gradient of the rows alone", async (_, variant) => {
    expect(flatBatch(sequences, model.spec, { queryChunks: 1, lossChunks: 1 }).tokens).toBe(16);
    const options = { ...allLinear(model), ...variant };
    const got = await runLoss(runtime, model, sequences, options);
    const want = await runLoss(runtime, model, sequences, { ...options, share: false });
    expect(got.loss / want.loss).toBeCloseTo(1, 5);
    expectGradients(options.layout, got.gradient, want.gradient);
  });
});

describe("dropout", () => {
  const model = tinyModel("llama3.1");
  const probability = 0.25;

  test("masks that keep everything scale LoRA's input by 1 / (1 - p)", async () => {
    const options = { ...allLinear(model), dropout: probability };
    const masks = masksFor(model, options, model.sequences, () => true);
    const got = await runLoss(runtime, model, model.sequences, { ...options, masks });
    const scaled = { ...options.adapter!, scale: model.scale / (1 - probability) };
    const { dropout: _, ...plain } = { ...options, adapter: scaled };
    const want = await runLoss(runtime, model, model.sequences, plain);
    expect(got.loss).toBeCloseTo(want.loss, 5);
    expectGradients(options.layout, got.gradient, want.gradient);
  });

  test("masks that keep nothing leave the base model, and A without a gradient", async () => {
    const options = { ...allLinear(model), dropout: probability };
    const masks = masksFor(model, options, model.sequences, () => false);
    const got = await runLoss(runtime, model, model.sequences, { ...options, masks });
    expect(got.loss).toBeCloseTo(model.golden.base.loss, 5);
    expect(Math.max(...got.gradient.map(Math.abs))).toBe(0);
  });

  test("random masks: recomputation reads the same ones, and differences confirm the gradient", async () => {
    const options = { ...allLinear(model), dropout: probability };
    const dice = random(5, "masks");
    const masks = masksFor(model, options, model.sequences, () => dice.next() >= probability);
    const got = await runLoss(runtime, model, model.sequences, { ...options, masks });
    const again = await runLoss(runtime, model, model.sequences, { ...options, masks, recompute: "blocks" });
    expectGradients(options.layout, again.gradient, got.gradient);
    expect(got.loss).not.toBeCloseTo(model.golden.lora["all-linear"]!.loss, 3);
    const direction = Float32Array.from(got.gradient, () => dice.normal());
    const at = async (step: number): Promise<number> => {
      const parameters = options.parameters.map((value, i) => value + step * direction[i]!);
      return (await runLoss(runtime, model, model.sequences, { ...options, masks, parameters })).loss;
    };
    const measured = ((await at(1e-3)) - (await at(-1e-3))) / 2e-3;
    const computed = got.gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
    expect(Math.abs(measured - computed)).toBeLessThan(0.01 * Math.abs(computed));
  });
});

describe.each<Family>(["mistral", "llama3.1"])(
  "%s: rows of a batch know nothing of one another",
  (family) => {
    const model = tinyModel(family);

    test("their logits are those of each row alone", async () => {
      const together = await runLogits(runtime, model, model.sequences);
      const alone: number[] = [];
      for (const sequence of model.sequences) alone.push(...(await runLogits(runtime, model, [sequence])));
      expect(relativeError(together, alone)).toBeLessThan(1e-6);
    });

    test("changing one row changes no logit of another", async () => {
      const [first, second, third] = model.sequences as [Sequence, Sequence, Sequence];
      const other = { ...second, ids: Array.from(second.ids, (id) => (id + 1) % model.spec.vocabulary) };
      const before = await runLogits(runtime, model, [first, second, third]);
      const after = await runLogits(runtime, model, [first, other, third]);
      const V = model.spec.vocabulary;
      const [from, to] = [first.ids.length * V, (first.ids.length + second.ids.length) * V];
      expect(after.subarray(0, from)).toEqual(before.subarray(0, from));
      expect(after.subarray(to)).toEqual(before.subarray(to));
      expect(relativeError(after.subarray(from, to), before.subarray(from, to))).toBeGreaterThan(0.01);
    });

    test("positions restart: the same row twice has the same logits twice", async () => {
      const [row] = model.sequences as [Sequence];
      const twice = await runLogits(runtime, model, [row, row]);
      expect(twice.subarray(twice.length / 2)).toEqual(twice.subarray(0, twice.length / 2));
    });

    test("their gradient is the sum of the rows' gradients, and of micro-batches added up", async () => {
      const options = { ...allLinear(model), lossScale: 1 / model.weight };
      const together = await runLoss(runtime, model, model.sequences, options);
      let sum = new Float32Array(options.layout.size);
      let loss = 0;
      for (const sequence of model.sequences) {
        const one = await runLoss(runtime, model, [sequence], { ...options, gradientSum: sum });
        sum = Float32Array.from(one.gradient);
        loss += one.loss;
      }
      expect(loss).toBeCloseTo(together.loss, 5);
      expect(relativeError(sum, together.gradient)).toBeLessThan(1e-5);
    });

    test("the order of rows does not matter", async () => {
      const options = allLinear(model);
      const one = await runLoss(runtime, model, model.sequences, options);
      const other = await runLoss(runtime, model, model.sequences.toReversed(), options);
      expect(other.loss).toBeCloseTo(one.loss, 5);
      expect(relativeError(other.gradient, one.gradient)).toBeLessThan(1e-5);
    });

    test("the future is not seen: a token changes no logit before it", async () => {
      const [, row] = model.sequences as [Sequence, Sequence];
      const changed = { ...row, ids: [...Array.from(row.ids).slice(0, -1), 5] };
      const [before, after] = [
        await runLogits(runtime, model, [row]),
        await runLogits(runtime, model, [changed]),
      ];
      const V = model.spec.vocabulary;
      expect(after.subarray(0, -V)).toEqual(before.subarray(0, -V));
      expect(after.subarray(-V)).not.toEqual(before.subarray(-V));
    });
  },
);
