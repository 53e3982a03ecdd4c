/** The real SmolLM2-135M: loss, LoRA gradients and greedy tokens of PyTorch, and the first steps of a recorded run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type TestContext, afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCurve } from "../../test/fixtures/curve.ts";
import { formulaTensor } from "../../test/fixtures/formula-weights.ts";
import { smolLm2 } from "../../test/fixtures/smollm2.ts";
import { adamWDefaults } from "../compute/optim/index.ts";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import type { FeedSequence } from "../data/feed/index.ts";
import { type ResidentModel, loadResidentModel, microBatches } from "../model/decoder/index.ts";
import { generateReplies, generationEngine, greedy } from "../model/generate/index.ts";
import { type ChatModel, openChatModel } from "../model/index.ts";
import { type ParameterLayout, parameterLayout, parameterViews } from "../model/nn/index.ts";
import { adaptedLayers } from "./adapted-layers.ts";
import { type TrainingEngine, loraParameters, trainingEngine } from "./engine.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const golden = <T>(path: string): T =>
  JSON.parse(readFileSync(join(repository, "test/golden", path), "utf8")) as T;
/** Twenty minutes: on an idle machine the whole file takes one. */
const patient = 1_200_000;

interface Loaded {
  readonly chat: ChatModel;
  readonly runtime: Runtime;
  readonly model: ResidentModel;
}
let loaded: Loaded | { readonly reason: string };

beforeAll(async () => {
  const fixture = await smolLm2();
  if (fixture.path === undefined) {
    loaded = { reason: fixture.reason };
    return;
  }
  const chat = await openChatModel(fixture.path);
  const runtime = await onnxRuntime();
  loaded = { chat, runtime, model: await loadResidentModel(runtime, chat.spec, chat.store) };
}, patient);
afterAll(async () => {
  if ("reason" in loaded) return;
  await loaded.runtime[Symbol.asyncDispose]();
  await loaded.chat.close();
});

function need(ctx: TestContext): Loaded {
  if ("reason" in loaded) return ctx.skip(loaded.reason);
  return loaded;
}

/** LoRA on q and v, rank 16, alpha 32, no dropout. */
async function engineOf(
  model: ResidentModel,
  initial: (layout: ParameterLayout) => Float32Array | Promise<Float32Array>,
): Promise<{ engine: TrainingEngine; layout: ParameterLayout }> {
  const layers = adaptedLayers(model.spec, ["q_proj", "v_proj"]);
  const adapted = new Set(layers.map(({ path }) => path));
  const layout = parameterLayout(loraParameters(layers, 16));
  const engine = await trainingEngine(model, await initial(layout), {
    layout,
    adapter: { rank: 16, scale: 2, adapts: (path) => adapted.has(path) },
    dropout: 0,
    seed: 1,
    optimizer: adamWDefaults,
    queryChunks: 1,
    lossChunks: 2,
    recompute: "none",
  });
  return { engine, layout };
}

const weightOf = (rows: readonly FeedSequence[]): number =>
  rows.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b), 0);

describe("golden numbers", () => {
  interface Golden {
    readonly greedy: readonly {
      readonly prompt: string;
      readonly ids: readonly number[];
      readonly tokens: readonly number[];
      readonly text: string;
    }[];
    readonly rows: readonly (readonly number[])[];
    readonly weights: readonly (readonly number[])[];
    readonly baseLoss: number;
    readonly loss: number;
    readonly gradientNorm: number;
    readonly gradients: readonly {
      readonly name: string;
      readonly norm: number;
      readonly at: readonly number[];
      readonly values: readonly number[];
    }[];
  }
  const want = golden<Golden>("parity/smollm2-real.json");

  test(
    "loss with and without an adapter, and every gradient's norm and largest entries",
    async (ctx) => {
      const { model } = need(ctx);
      const { engine, layout } = await engineOf(model, ({ entries, size }) => {
        const flat = new Float32Array(size);
        for (const { name, shape, offset } of entries) {
          const scale = name.includes("lora_B") ? Math.fround(0.04) : 1;
          flat.set(
            formulaTensor(name, shape).data.map((value) => value * scale),
            offset,
          );
        }
        return flat;
      });
      const rows = want.rows.map((ids, i) => ({
        ids: Int32Array.from(ids),
        weights: Float32Array.from(want.weights[i]!),
        replies: 1,
        rows: [i],
      }));
      const loss = await engine.accumulate(rows, 1 / weightOf(rows), 0);
      expect(Math.abs(loss / want.loss - 1)).toBeLessThan(1e-5);
      const gradient = await engine.gradient();
      const views = parameterViews(layout, gradient);
      for (const { name, norm, at, values } of want.gradients) {
        const view = views.get(name)!;
        expect(Math.abs(Math.hypot(...view) / norm - 1), `norm of ${name}`).toBeLessThan(1e-4);
        const gap = Math.max(...at.map((i, k) => Math.abs(view[i]! - values[k]!)));
        expect(gap / Math.abs(values[0]!), `entries of ${name}`).toBeLessThan(1e-4);
      }
      const state = await engine.state();
      await engine.restore({ ...state, parameters: new Float32Array(layout.size) });
      expect(Math.abs((await engine.loss(rows)) / weightOf(rows) / want.baseLoss - 1)).toBeLessThan(1e-5);
      await engine[Symbol.asyncDispose]();
    },
    patient,
  );

  test(
    "32 greedy tokens of three prompts, together and by text, are transformers'",
    async (ctx) => {
      const { model, chat } = need(ctx);
      await using engine = await generationEngine(model, { slots: 3, capacity: 96 });
      const requests = want.greedy.map(({ prompt }, key) => ({
        key,
        ids: chat.renderer.prompt([{ role: "user", content: prompt }]),
      }));
      expect(requests.map(({ ids }) => ids)).toEqual(want.greedy.map(({ ids }) => ids));
      const options = { ...greedy, maxNewTokens: 32, stopStrings: [], seed: 1 };
      const got: unknown[] = [];
      for await (const event of generateReplies(engine, chat.renderer, requests, options)) {
        if (event.type === "reply") got[event.key] = { ids: event.ids, text: event.text };
      }
      const stops = new Set(chat.renderer.stopIds);
      expect(got).toEqual(
        want.greedy.map(({ tokens, text }) => ({ ids: tokens.filter((id) => !stops.has(id)), text })),
      );
    },
    patient,
  );
});

describe("a recorded run of PyTorch + PEFT on real dialogues", () => {
  const folder = join(repository, "../shared/peer/curve");

  test(
    "the first three steps' losses, the gradient's norm, and validation before",
    async (ctx) => {
      const { model } = need(ctx);
      const curve = await openCurve(folder);
      if ("reason" in curve) return ctx.skip(curve.reason);
      const { engine } = await engineOf(model, (layout) => curve.initial(layout));
      const validation = golden<{ batches: readonly string[]; tokens: number; loss: number }>(
        "train/curve_validation.json",
      );
      const rows = validation.batches.flatMap((name) => curve.rows(name));
      expect(weightOf(rows)).toBe(validation.tokens);
      let sum = 0;
      for (const sequences of microBatches(rows, 700)) sum += await engine.loss(sequences);
      expect(Math.abs(sum / validation.tokens - validation.loss)).toBeLessThan(1e-4);

      for (const step of [0, 1, 2]) {
        const batch = curve.rows(`train00${step}`);
        let loss = 0;
        for (const sequences of microBatches(batch, 512))
          loss += await engine.accumulate(sequences, 1 / weightOf(batch), 0);
        const norm = await engine.update({
          learningRate: 3e-4,
          weightDecay: 0.01,
          maxNorm: 1,
          update: step + 1,
        });
        expect(Math.abs(loss - curve.recorded.loss[step]!), `step ${step + 1}`).toBeLessThan(1e-4);
        if (step === 0) expect(Math.abs(norm - curve.recorded.grad_norm_step0)).toBeLessThan(1e-4);
      }
      await engine[Symbol.asyncDispose]();
    },
    patient,
  );
});
