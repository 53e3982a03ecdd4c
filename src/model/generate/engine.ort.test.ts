/** Prefill and decode on onnxruntime: transformers' greedy tokens for every family, batches, refilled slots, adapters. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { float32 } from "../../compute/tensor/index.ts";
import { formulaTensor } from "../../../test/fixtures/formula-weights.ts";
import { expectedWeights, loadResidentModel } from "../decoder/index.ts";
import {
  type Family,
  type TinyModel,
  families,
  formulaVector,
  layoutOf,
  relativeError,
  runLogits,
  tinyModel,
} from "../decoder/tiny-model.testing.ts";
import { parameterViews } from "../nn/index.ts";
import { type Adapter, type LoraPair, memoryWeights, mergeLora, pairForWeight } from "../weights/index.ts";
import { type GenerationEngine, type NextToken, generationEngine } from "./engine.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

/** The adapter on all linear layers that the golden file was made with. */
function goldenAdapter({ golden, spec, scale }: TinyModel): Adapter {
  const { names } = golden.lora["all-linear"]!;
  const layout = layoutOf(spec, names, golden.rank);
  const views = parameterViews(layout, formulaVector(layout));
  const tensorOf = (name: string) =>
    float32(layout.entries.find((entry) => entry.name === name)!.shape, views.get(name)!);
  const paths = [...new Set(names.map((name) => name.replace(/\.lora_[AB]\.weight$/, "")))];
  const pair = (path: string): LoraPair => ({
    a: tensorOf(`${path}.lora_A.weight`),
    b: tensorOf(`${path}.lora_B.weight`),
    scale,
  });
  const config = {
    rank: golden.rank,
    alpha: golden.alpha,
    dropout: 0,
    rsLora: false,
    targetModules: ["all"],
    baseModel: "tiny",
  };
  return { config, layers: new Map(paths.map((path) => [path, pair(path)])) };
}

async function engineOf(
  model: Pick<TinyModel, "spec" | "weights">,
  size: { slots: number; capacity: number },
): Promise<GenerationEngine> {
  return generationEngine(await loadResidentModel(runtime, model.spec, memoryWeights(model.weights)), size);
}

interface Greedy {
  readonly ids: number[];
  /** One row of logits a token. */
  readonly logits: Float32Array[];
}

/** Greedy continuations of all prompts at once, prompt i in slot i. */
async function greedy(
  engine: GenerationEngine,
  prompts: readonly (readonly number[])[],
  count: number,
): Promise<Greedy[]> {
  const replies: Greedy[] = [];
  for (const [slot, prompt] of prompts.entries()) {
    const [{ best, logits }] = (await engine.prefill([{ slot, ids: prompt }], true)) as [NextToken];
    replies.push({ ids: [best], logits: [logits!.slice()] });
  }
  for (let step = 1; step < count; step++) {
    const steps = replies.map(({ ids }, slot) => ({ slot, token: ids.at(-1)! }));
    for (const [slot, { best, logits }] of (await engine.decode(steps, true)).entries()) {
      replies[slot]!.ids.push(best);
      replies[slot]!.logits.push(logits!.slice());
    }
  }
  return replies;
}

test.each(families)(
  "%s with an adapter: greedy tokens of three prompts together are transformers'",
  async (family) => {
    const model = tinyModel(family);
    await using engine = await engineOf(model, { slots: 3, capacity: 24 });
    await engine.useAdapter(goldenAdapter(model));
    const replies = await greedy(engine, model.golden.rows, 8);
    expect(replies.map(({ ids }) => ids)).toEqual(model.golden.greedy.map(({ ids }) => ids));
  },
);

describe.each<Family>(["mistral", "llama3.1"])("%s", (family) => {
  const model = tinyModel(family);
  const prompts = model.golden.rows;

  test("logits at each new token are those of reading the whole text at once", async () => {
    await using engine = await engineOf(model, { slots: 1, capacity: 24 });
    const [reply] = await greedy(engine, [prompts[0]!], 10);
    const ids = [...prompts[0]!, ...reply!.ids.slice(0, -1)];
    const whole = await runLogits(runtime, model, [{ ids, weights: ids.map(() => 0) }]);
    const V = model.spec.vocabulary;
    for (const [i, logits] of reply!.logits.entries()) {
      const from = (prompts[0]!.length - 1 + i) * V;
      expect(relativeError(logits, whole.subarray(from, from + V))).toBeLessThan(1e-5);
    }
  });

  test("a batch of prompts of unequal length gives each what it gets alone", async () => {
    await using together = await engineOf(model, { slots: 3, capacity: 24 });
    const replies = await greedy(together, prompts, 8);
    await using alone = await engineOf(model, { slots: 1, capacity: 24 });
    for (const [i, prompt] of prompts.entries()) {
      const [reply] = await greedy(alone, [prompt], 8);
      expect(replies[i]!.ids).toEqual(reply!.ids);
      for (const [step, logits] of reply!.logits.entries()) {
        expect(relativeError(replies[i]!.logits[step]!, logits)).toBeLessThan(1e-5);
      }
    }
  });

  test("prompts read in one pass give each what it gets alone, also into slots among replies under way", async () => {
    await using together = await engineOf(model, { slots: 4, capacity: 24 });
    const started = await together.prefill([{ slot: 2, ids: prompts[0]! }], true);
    const [second] = await together.decode([{ slot: 2, token: started[0]!.best }], true);
    const batch = [1, 2].map((i, at) => ({ slot: [3, 0][at]!, ids: prompts[i]! }));
    const read = await together.prefill(batch, true);
    await using alone = await engineOf(model, { slots: 1, capacity: 24 });
    for (const [i, { ids }] of batch.entries()) {
      const [next] = await alone.prefill([{ slot: 0, ids }], true);
      expect(read[i]!.best).toBe(next!.best);
      expect(relativeError(read[i]!.logits!, next!.logits!)).toBeLessThan(1e-5);
    }
    const steps = [
      { slot: 0, token: read[1]!.best },
      { slot: 2, token: second!.best },
      { slot: 3, token: read[0]!.best },
    ];
    const after = await together.decode(steps, true);
    const texts = [
      [...prompts[2]!, read[1]!.best],
      [...prompts[0]!, started[0]!.best, second!.best],
      [...prompts[1]!, read[0]!.best],
    ];
    for (const [i, ids] of texts.entries()) {
      const [next] = await alone.prefill([{ slot: 0, ids }], true);
      expect(relativeError(after[i]!.logits!, next!.logits!)).toBeLessThan(1e-5);
    }
  });

  test("a slot that is used again knows nothing of what it held, and idle slots disturb nobody", async () => {
    await using engine = await engineOf(model, { slots: 3, capacity: 24 });
    const [first] = await greedy(engine, [prompts[0]!], 6);
    await greedy(engine, [prompts[1]!, prompts[2]!], 6);
    const [again] = await greedy(engine, [prompts[0]!], 6);
    expect(again!.ids).toEqual(first!.ids);
    for (const [i, logits] of again!.logits.entries()) {
      expect(relativeError(logits, first!.logits[i]!)).toBeLessThan(1e-6);
    }
  });

  test("an adapter gives what merged weights give, and goes without a trace", async () => {
    const adapter = goldenAdapter(model);
    const merged = new Map(
      [...model.weights].map(([name, weight]) => {
        const pair = pairForWeight(adapter.layers, name);
        return [name, pair === undefined ? weight : mergeLora(weight, pair)] as const;
      }),
    );
    await using engine = await engineOf(model, { slots: 2, capacity: 24 });
    await using reference = await engineOf({ spec: model.spec, weights: merged }, { slots: 2, capacity: 24 });
    const pair = prompts.slice(0, 2);
    const before = await greedy(engine, pair, 5);
    await engine.useAdapter(adapter);
    const adapted = await greedy(engine, pair, 5);
    const want = await greedy(reference, pair, 5);
    for (const [i, { ids, logits }] of want.entries()) {
      expect(adapted[i]!.ids).toEqual(ids);
      logits.forEach((row, step) => expect(relativeError(adapted[i]!.logits[step]!, row)).toBeLessThan(1e-5));
      expect(relativeError(before[i]!.logits[0]!, logits[0]!)).toBeGreaterThan(1e-2);
    }
    await engine.useAdapter(undefined);
    expect(await greedy(engine, pair, 5)).toEqual(before);
  });
});

test("a slot takes as many tokens as it has room for, and not one more", async () => {
  const model = tinyModel("llama3.1");
  const prompt = model.golden.rows[1]!;
  await using tight = await engineOf(model, { slots: 1, capacity: prompt.length + 2 });
  const [reply] = await greedy(tight, [prompt], 3);
  await using roomy = await engineOf(model, { slots: 1, capacity: 64 });
  expect(reply!.ids).toEqual((await greedy(roomy, [prompt], 3))[0]!.ids);
  await expect(tight.decode([{ slot: 0, token: 1 }], false)).rejects.toThrow(
    "holds 16 tokens; 17 were asked for",
  );
  await expect(tight.prefill([{ slot: 0, ids: [...prompt, 1, 2, 3] }], false)).rejects.toThrow(
    "16 tokens; 17 were asked for",
  );
});

test("caches grow with the longest reply and shrink when it has ended; what they hold stays", async () => {
  const model = tinyModel("llama3.1");
  const [long, short] = [model.golden.rows[0]!, model.golden.rows[1]!];
  await using engine = await engineOf(model, { slots: 2, capacity: 400 });
  await using alone = await engineOf(model, { slots: 1, capacity: 400 });
  const ids = [[...long], [...short]];
  const [first] = await engine.prefill([{ slot: 0, ids: long }], false);
  ids[0]!.push(first!.best);
  while (ids[0]!.length < 200) {
    const [next] = await engine.decode([{ slot: 0, token: ids[0]!.at(-1)! }], false);
    ids[0]!.push(next!.best);
  }
  const [joined] = await engine.prefill([{ slot: 1, ids: short }], false);
  ids[1]!.push(joined!.best);
  const decodeBoth = async () =>
    engine.decode(
      [0, 1].map((slot) => ({ slot, token: ids[slot]!.at(-1)! })),
      true,
    );
  const expectSame = async (slot: number, logits: Float32Array) => {
    const [whole] = await alone.prefill([{ slot: 0, ids: ids[slot]! }], true);
    expect(relativeError(logits, whole!.logits!)).toBeLessThan(1e-5);
  };
  for (const [slot, { logits }] of (await decodeBoth()).entries()) await expectSame(slot, logits!);
  engine.release(0);
  const [left] = await engine.decode([{ slot: 1, token: 5 }], true);
  ids[1]!.push(5);
  await expectSame(1, left!.logits!);
});

test.each([4, 6, 12, 20])(
  "a head width of %i, which the fused kernel does not take by itself",
  async (headWidth) => {
    const { golden } = tinyModel("qwen3");
    const spec = { ...tinyModel("qwen3").spec, headWidth };
    const weights = new Map(
      expectedWeights(spec).map(({ name, shape }) => [name, formulaTensor(name, shape)]),
    );
    const model = { spec, weights };
    await using engine = await engineOf(model, { slots: 2, capacity: 24 });
    const prompt = golden.rows[0]!;
    const [reply] = await greedy(engine, [prompt], 5);
    const ids = [...prompt, ...reply!.ids.slice(0, -1)];
    const whole = await runLogits(runtime, model, [{ ids, weights: ids.map(() => 0) }]);
    for (const [i, logits] of reply!.logits.entries()) {
      const from = (prompt.length - 1 + i) * spec.vocabulary;
      expect(relativeError(logits, whole.subarray(from, from + spec.vocabulary))).toBeLessThan(1e-5);
    }
  },
);

test("logits leave the device only when they are wanted", async () => {
  const model = tinyModel("llama3.1");
  await using engine = await engineOf(model, { slots: 1, capacity: 24 });
  const want = model.golden.rows[0]!;
  const [{ best, logits }] = (await engine.prefill([{ slot: 0, ids: want }], true)) as [NextToken];
  expect(logits!.indexOf(Math.max(...logits!))).toBe(best);
  expect(await engine.prefill([{ slot: 0, ids: want }], false)).toEqual([{ best, logits: undefined }]);
});
