/** One model, its trainable vector and AdamW's moments on a device: accumulate gradients, update, measure loss. */
import type { AdamWOptions } from "../compute/optim/index.ts";
import { type Graph, GraphBuilder } from "../compute/graph/index.ts";
import type { DeviceTensor, Program, Runtime } from "../compute/runtime/index.ts";
import { type Tensor, float32, scalar, tensor, zeros } from "../compute/tensor/index.ts";
import {
  type AdapterOptions,
  type FlatBatch,
  type ModelSpec,
  type Recompute,
  type ResidentModel,
  type Sequence,
  dropoutMaskShapes,
  flatBatch,
  queryChunksFor,
} from "../model/decoder/index.ts";
import type { ParameterLayout, Products } from "../model/nn/index.ts";
import { byteProbability, dropoutMasks } from "./dropout.ts";
import { embeddingNoise } from "./neftune.ts";
import type { RunGraphs } from "./peak-memory.ts";
import { type Numerics, plainNumerics } from "./precision.ts";
import { type ModelForm, measuringGraph, stepGraph, updateGraph } from "./step-graphs.ts";

export interface EngineOptions {
  readonly layout: ParameterLayout;
  readonly adapter?: AdapterOptions;
  /** Probability that an element of LoRA's input is dropped. */
  readonly dropout: number;
  /** The same of what attention and MLP add to the residual stream; absent: 0. */
  readonly residualDropout?: number;
  /** The same of attention's probabilities; absent: 0. */
  readonly attentionDropout?: number;
  readonly seed: number;
  readonly optimizer: AdamWOptions;
  readonly queryChunks: number;
  readonly lossChunks: number;
  readonly recompute: Recompute;
  /** Whether the sequences of a micro-batch share the tokens of a common beginning; yes when absent. */
  readonly share?: boolean;
  /** Strength of the noise on the embeddings in training (NEFTune); absent or 0: none. */
  readonly neftune?: number;
  /** [N]: multiplies the learning rate of each element, and with it its weight decay. Absent: 1. */
  readonly rateFactors?: Float32Array;
  /** [N]: 1 where weight decay applies. Absent: everywhere. */
  readonly decayed?: Uint8Array;
  /** How the frozen linear layers are held. */
  readonly base?: "float32" | "int8";
  /** Of an 8-bit base; in 8 bits when absent. */
  readonly backward?: Products;
  /** Mixed precision and the form of kept activations; absent: float32 throughout. */
  readonly numerics?: Numerics;
  /** Micro-batches that may be computed at once; each lane adds up a gradient of its own until the update. Absent: 1. */
  readonly lanes?: number;
}

/** Everything that is trained, on the host. All vectors are [N]. */
export interface TrainedState {
  readonly parameters: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
}

export interface UpdateOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Largest global norm of the gradient; +∞ turns clipping off. */
  readonly maxNorm: number;
  /** Number of this update, from 1: AdamW's bias correction. */
  readonly update: number;
  /** By which the accumulated gradient was scaled; 1 when absent. */
  readonly gradientScale?: number;
}

export interface PassOptions {
  readonly signal?: AbortSignal | undefined;
  /** In which of the engine's lanes, from 0; one lane computes one micro-batch at a time. Absent: 0. */
  readonly lane?: number;
}

export interface TrainingEngine extends AsyncDisposable {
  readonly lanes: number;
  /**
   * Adds the gradient of `lossScale` · Σ weighted losses of a micro-batch; returns that scaled loss. `gradientScale`
   * multiplies the gradient alone, for float16 products.
   */
  accumulate(
    sequences: readonly Sequence[],
    lossScale: number,
    draw: number,
    options?: PassOptions & { readonly gradientScale?: number | undefined },
  ): Promise<number>;
  /**
   * Applies AdamW to the accumulated gradient and clears it; returns the gradient's norm before clipping. With float16
   * products it is NaN, and nothing has changed, when an element of the gradient is not finite.
   */
  update(options: UpdateOptions): Promise<number>;
  /** Σ weighted losses of a micro-batch, without dropout and without gradients. */
  loss(sequences: readonly Sequence[], options?: PassOptions): Promise<number>;
  /** ‖·‖² of what a lane's last micro-batch added to the gradient, scaled as it was accumulated. */
  squaredNorm(lane?: number): number;
  /** The accumulated gradient [N] of all lanes, scaled as it was accumulated; zero when there is none. */
  gradient(): Promise<Float32Array>;
  /** The trainable vector on the device, for other programs over the same layout. Valid until the next update. */
  parameters(): DeviceTensor;
  /** A copy of that vector on the host, [N]. */
  trained(): Promise<Float32Array>;
  state(): Promise<TrainedState>;
  restore(state: TrainedState): Promise<void>;
}

/** Sessions in the making, and the graph of the one that is made when a loss is first asked for. */
export interface EnginePrograms {
  readonly step: Promise<Program>;
  readonly optimizer: Promise<Program>;
  readonly measuring: () => Graph;
}

/**
 * Starts to make the sessions that `trainingEngine` runs, which takes no weights: those may be read meanwhile. `graphs`
 * are of these very options; absent: they are built here.
 */
export function compilePrograms(
  runtime: Runtime,
  model: ModelForm,
  options: EngineOptions,
  graphs?: RunGraphs,
): EnginePrograms {
  const { lanes = 1 } = options;
  const step = runtime.compile(graphs?.step ?? stepGraph(model, options), { name: "training step", lanes });
  const optimizer = runtime.compile(graphs?.update ?? updateGraph(options), {
    name: "optimizer",
    // Once a step: threads that waited for the next update would slow the pass after it.
    spin: false,
  });
  // Whoever awaits them is told; where something else fails first, nobody does.
  for (const program of [step, optimizer]) program.catch(() => {});
  return { step, optimizer, measuring: graphs?.measuring ?? (() => measuringGraph(model, options)) };
}

/** `programs` are of the same model and options; absent: they are made here. */
export async function trainingEngine(
  model: ResidentModel,
  initial: Float32Array,
  options: EngineOptions,
  programs: EnginePrograms = compilePrograms(model.runtime, model, options),
): Promise<TrainingEngine> {
  const { runtime, spec } = model;
  const { layout, adapter } = options;
  const dropout = adapter === undefined ? 0 : byteProbability(options.dropout);
  const { numerics = plainNumerics } = options;
  const scaled = numerics.precision === "fp16";
  const { neftune = 0, rateFactors, decayed } = options;
  const noise = neftune === 0 ? undefined : embeddingNoise(options.seed, neftune, spec.hiddenSize);
  const step = await programs.step;
  const optimizer = await programs.optimizer;
  const { lanes = 1 } = options;
  let measure: Promise<Program> | undefined;
  let adder: Program | undefined;
  const { seed, residualDropout = 0, attentionDropout = 0 } = options;
  const masks = {
    lora: dropoutMasks(seed, dropout),
    residual: dropoutMasks(seed, byteProbability(residualDropout), "residual dropout"),
    attention: dropoutMasks(seed, byteProbability(attentionDropout), "attention dropout"),
  };

  const upload = async (values: Float32Array): Promise<DeviceTensor> =>
    runtime.upload(float32([values.length], values.slice()), { transfer: true });
  const none = await runtime.upload(zeros("float32", [layout.size]), { transfer: true });
  let parameters = await upload(initial);
  let firstMoment = await upload(new Float32Array(layout.size));
  let secondMoment = await upload(new Float32Array(layout.size));
  /** Of each lane. */
  const gradients = Array.from({ length: lanes }, () => none);
  const squaredNorms = Array.from({ length: lanes }, () => 0);
  const byElement = {
    ...(rateFactors === undefined ? {} : { rateFactors: await upload(rateFactors) }),
    ...(decayed === undefined
      ? {}
      : {
          decayed: await runtime.upload(tensor("bool", [layout.size], decayed.slice()), { transfer: true }),
        }),
  };

  const replaceGradient = async (lane: number, next: DeviceTensor): Promise<void> => {
    const before = gradients[lane]!;
    gradients[lane] = next;
    if (before !== none) await runtime.release(before);
  };
  const clear = async (): Promise<void> => {
    for (let lane = 0; lane < lanes; lane++) await replaceGradient(lane, none);
  };
  /** What the lanes added up, in the order of the lanes, in the first of them. */
  const joined = async (): Promise<DeviceTensor> => {
    for (let lane = 1; lane < lanes; lane++) {
      if (gradients[lane] === none) continue;
      adder ??= await runtime.compile(sumGraph(layout.size), { name: "sum of gradients", spin: false });
      const { kept } = await adder.run(
        { a: gradients[0]!, b: gradients[lane]! },
        { keep: ["sum"], fetch: [] },
      );
      await replaceGradient(0, kept["sum"]!);
      await replaceGradient(lane, none);
    }
    return gradients[0]!;
  };
  const batchFeeds = async (program: Program, batch: FlatBatch, lossScale: number) => ({
    ...(await model.feeds(program.inputs, batch.longest)),
    ...batch.feeds,
    parameters,
    lossScale: scalar(lossScale),
  });
  const download = async (held: DeviceTensor): Promise<Float32Array> =>
    (await runtime.download(held)).data as Float32Array;

  return {
    lanes,
    accumulate: async (sequences, lossScale, draw, { signal, lane = 0, gradientScale = 1 } = {}) => {
      const batch = flatBatch(sequences, spec, options);
      const shapes = dropoutMaskShapes(step.inputs, spec, layout, batch, {
        sequences: sequences.length,
        queryChunks: options.queryChunks,
      });
      const { outputs, kept } = await step.run(
        {
          ...(await batchFeeds(step, batch, lossScale)),
          ...masks.lora.masks(draw, shapes.lora),
          ...masks.residual.masks(draw, shapes.residual),
          ...masks.attention.masks(draw, shapes.attention),
          ...(noise === undefined
            ? {}
            : {
                embeddingNoise: noise.noise(
                  draw,
                  sequences.map(({ ids }) => ids.length),
                ),
              }),
          gradientSum: gradients[lane]!,
          ...(scaled ? { gradientScale: scalar(gradientScale) } : {}),
        },
        {
          keep: ["gradient"],
          fetch: ["loss", "squaredNorm"],
          lane,
          ...(signal === undefined ? {} : { signal }),
        },
      );
      await replaceGradient(lane, kept["gradient"]!);
      squaredNorms[lane] = numberOf(outputs["squaredNorm"]!);
      return numberOf(outputs["loss"]!);
    },
    update: async ({ learningRate, weightDecay, maxNorm, update, gradientScale = 1 }) => {
      const { beta1, beta2 } = options.optimizer;
      const { outputs, kept } = await optimizer.run(
        {
          parameters,
          gradient: await joined(),
          firstMoment,
          secondMoment,
          ...byElement,
          rate: scalar(learningRate),
          decay: scalar(learningRate * weightDecay),
          gradientScale: scalar(1 / gradientScale),
          maxNorm: scalar(maxNorm),
          correction1: scalar(1 - beta1 ** update),
          correction2: scalar(Math.sqrt(1 - beta2 ** update)),
        },
        { keep: ["nextParameters", "nextFirstMoment", "nextSecondMoment"], fetch: ["gradientNorm"] },
      );
      for (const old of [parameters, firstMoment, secondMoment]) await runtime.release(old);
      parameters = kept["nextParameters"]!;
      firstMoment = kept["nextFirstMoment"]!;
      secondMoment = kept["nextSecondMoment"]!;
      await clear();
      return numberOf(outputs["gradientNorm"]!);
    },
    loss: async (sequences, { signal, lane = 0 } = {}) => {
      measure ??= runtime.compile(programs.measuring(), { name: "loss", lanes });
      const program = await measure;
      const batch = flatBatch(sequences, spec, options);
      const feeds = await batchFeeds(program, batch, 1);
      const { outputs } = await program.run(feeds, {
        fetch: ["loss"],
        lane,
        ...(signal === undefined ? {} : { signal }),
      });
      return numberOf(outputs["loss"]!);
    },
    squaredNorm: (lane = 0) => squaredNorms[lane]!,
    gradient: async () => download(await joined()),
    parameters: () => parameters,
    trained: () => download(parameters),
    state: async () => ({
      parameters: await download(parameters),
      firstMoment: await download(firstMoment),
      secondMoment: await download(secondMoment),
    }),
    restore: async (state) => {
      await runtime.overwrite(parameters, float32([layout.size], state.parameters));
      await runtime.overwrite(firstMoment, float32([layout.size], state.firstMoment));
      await runtime.overwrite(secondMoment, float32([layout.size], state.secondMoment));
      await clear();
    },
    [Symbol.asyncDispose]: async () => {
      await clear();
      for (const held of [parameters, firstMoment, secondMoment, none, ...Object.values(byElement)])
        await runtime.release(held);
      const measuring = await measure?.catch(() => undefined);
      for (const program of [step, optimizer, adder, measuring]) await program?.[Symbol.asyncDispose]();
    },
  };
}

function sumGraph(size: number): Graph {
  const g = new GraphBuilder();
  g.output("sum", g.add(g.input("a", "float32", [size]), g.input("b", "float32", [size])));
  return g.build();
}

function numberOf(value: Tensor): number {
  return (value.data as Float32Array)[0]!;
}

/** Chunks for rows of up to `longest` tokens and micro-batches of up to `supervised` targets. */
export function chunksFor(
  longest: number,
  supervised: number,
  tableTrained = false,
): { queryChunks: number; lossChunks: number } {
  // A chunk reads the whole vocabulary table twice: few large ones. Where it is trained, a chunk's [rows, V] are kept.
  return {
    queryChunks: queryChunksFor(longest),
    lossChunks: Math.max(1, Math.ceil(supervised / (tableTrained ? 512 : 2048))),
  };
}

/** The LoRA parameters of these layers, in execution order: A [R, I], B [O, R] and for DoRA the magnitude [O] of each. */
export function loraParameters(
  layers: Iterable<{ readonly path: string; readonly shape: readonly [number, number] }>,
  rank: number,
  dora = false,
): { name: string; shape: readonly number[] }[] {
  return [...layers].flatMap(({ path, shape: [outWidth, inWidth] }) => [
    { name: `${path}.lora_A.weight`, shape: [rank, inWidth] },
    { name: `${path}.lora_B.weight`, shape: [outWidth, rank] },
    ...(dora ? [{ name: `${path}.lora_magnitude_vector`, shape: [outWidth] }] : []),
  ]);
}

export type { ModelSpec };
