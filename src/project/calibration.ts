/** A short calibration: speeds of the machine, and a few micro-batches of a small model of the same widths. */
import {
  type Graph,
  type Node,
  type ProductKind,
  type SymbolSizes,
  byteCounter,
  nodeBytes,
  productKind,
  productOperations,
} from "../compute/graph/index.ts";
import { type DeviceTensor, type Runtime, smallNumbers, timeNode } from "../compute/runtime/index.ts";
import { type ModelSpec, type Sequence, residentModel } from "../model/decoder/index.ts";
import type { WeightStore } from "../model/weights/index.ts";
import {
  type Calibration,
  type GraphCounters,
  type Rates,
  type RunGraphs,
  batchSizes,
  graphCounters,
  memoryPredictor,
  secondsAt,
  trainingEngine,
} from "../train/index.ts";
import { baseForm } from "./base-model.ts";
import { engineOptions } from "./engine-options.ts";
import type { TrainPlan } from "./plan.ts";
import { trainedParts } from "./trained-parts.ts";

/** Layers of the small model: first, last and one between. */
const smallLayers = 3;
/** No micro-batch of the small model is to take longer, in seconds. */
const longestPass = 0.5;
/** After so many seconds no further round begins; two there are in any case. */
const patience = 1.6;
const mostRounds = 12;
const productKinds: readonly ProductKind[] = ["matrix", "heads", "integer", "blocks"];

export interface CalibrationOptions {
  readonly plan: Pick<TrainPlan, "config" | "share" | "chunks">;
  readonly spec: ModelSpec;
  readonly store: WeightStore;
  /** Of the run. */
  readonly counters: GraphCounters;
  /** Micro-batches of the run's first steps, among which some are trained on. */
  readonly microBatches: readonly (readonly Sequence[])[];
}

/**
 * The small model has three layers and as large a share of the vocabulary, so that its parts stand to one another as in
 * the whole one; its weights are made up. What it takes is set against what the rates say of it.
 */
export async function calibrate(runtime: Runtime, options: CalibrationOptions): Promise<Calibration> {
  const began = performance.now();
  const { plan, spec, counters } = options;
  const { config, chunks, share } = plan;
  const small = smallerModel(spec);
  const parts = trainedParts(config, small);
  const form = baseForm({ spec: small, store: options.store }, config);
  const settings = engineOptions(config, parts, share);
  const layout = { ...chunks, recompute: config.training.checkpointing };
  const graphs = memoryPredictor({ ...form, options: settings, processBytes: 0 }).graphs(layout);
  const sizesOf = (sequences: readonly Sequence[]): SymbolSizes =>
    batchSizes(graphs.step, small, { ...chunks, share }, sequences);
  const smallCounters = graphCounters(graphs);
  const ranked = options.microBatches
    .map((sequences) => ({ sequences, tokens: tokensOf(sequences) }))
    .sort((a, b) => a.tokens - b.tokens);
  const middle = ranked[ranked.length >> 1]!;
  const rates = await measureRates(runtime, graphs, sizesOf(middle.sequences));

  const held: DeviceTensor[] = [];
  const weights = new Map<string, DeviceTensor>();
  for (const input of weightInputs(graphs)) {
    const weight = await runtime.upload(smallNumbers(input), { transfer: true });
    held.push(weight);
    weights.set(input.name, weight);
  }
  const { frozen, exact } = form.model;
  const resident = {
    ...residentModel(runtime, small, weights, frozen),
    ...(exact === undefined ? {} : { exact }),
  };
  try {
    const initial = smallNumbers({ dtype: "float32", shape: [parts.layout.size] }).data as Float32Array;
    await using engine = await trainingEngine(resident, initial, { ...settings, ...layout });
    const fitted = (sequences: readonly Sequence[]): readonly Sequence[] => {
      const likely = secondsAt(smallCounters.step(sizesOf(sequences)), rates);
      return shortened(sequences, small.vocabulary, Math.min(1, longestPass / likely));
    };
    // The largest first: it takes the memory that others find.
    const chosen = [...new Set([ranked.at(-1)!, middle, ranked[0]!])].map(({ sequences }) => {
      const own = fitted(sequences);
      return { own, sizes: sizesOf(own), seconds: [] as number[] };
    });
    // As a run does: all lanes at once.
    const inAll = (pass: (lane: number) => Promise<unknown>): Promise<unknown> =>
      Promise.all(Array.from({ length: engine.lanes }, (_, lane) => pass(lane)));
    const step = (own: readonly Sequence[]) => () => inAll((lane) => engine.accumulate(own, 1, 0, { lane }));
    await step(chosen[0]!.own)();
    // In rounds, so that whatever else the machine does meanwhile falls on all alike.
    for (let round = 0; round < 2 || (round < mostRounds && since(began) < patience); round++)
      for (const { own, seconds } of chosen) seconds.push(await timed(step(own)));
    // Threads of the program before wait busily for a while: the first run after a change does not count.
    const again = async (run: () => Promise<unknown>): Promise<number> => {
      await run();
      return median([await timed(run), await timed(run), await timed(run)]);
    };
    const measured = chosen[chosen.length >> 1]!;
    const updateSeconds = await again(() =>
      engine.update({ learningRate: 1e-6, weightDecay: 0, maxNorm: 1, update: 1 }),
    );
    const lossSeconds = await again(() => inAll((lane) => engine.loss(measured.own, { lane })));
    const passes = chosen.map(({ sizes, seconds }) => ({
      seconds: secondsAt(counters.step(sizes), rates),
      factor: median(seconds) / secondsAt(smallCounters.step(sizes), rates),
    }));
    return {
      rates,
      passes: passes.sort((a, b) => a.seconds - b.seconds),
      measuringFactor: lossSeconds / secondsAt(smallCounters.measuring(measured.sizes), rates),
      updateFactor: updateSeconds / secondsAt(smallCounters.update, rates),
    };
  } finally {
    for (const weight of held) await runtime.release(weight);
  }
}

function since(began: number): number {
  return (performance.now() - began) / 1000;
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return since(began);
}

/** The lower one of two. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!;
}

/** Three layers, and of the vocabulary the same share as of the layers. */
function smallerModel(spec: ModelSpec): ModelSpec {
  const layers = Math.min(spec.layers, smallLayers);
  return {
    ...spec,
    layers,
    layerAttention: spec.layerAttention.slice(0, layers),
    vocabulary: Math.max(64, Math.round((spec.vocabulary * layers) / spec.layers)),
  };
}

/** Frozen weights among the inputs: those whose shape is the model's alone. */
function weightInputs({ step, measuring }: RunGraphs): Graph["inputs"] {
  const fed = new Set(["parameters", "gradientSum"]);
  const byName = new Map([...measuring().inputs, ...step.inputs].map((input) => [input.name, input]));
  return [...byName.values()].filter(
    ({ name, shape }) => shape.length > 0 && !fed.has(name) && shape.every((dim) => typeof dim === "number"),
  );
}

/** The first so many tokens of each sequence, with ids that the small vocabulary has. */
function shortened(sequences: readonly Sequence[], vocabulary: number, share: number): readonly Sequence[] {
  return sequences.map(({ ids, weights }) => {
    const length = Math.max(2, Math.ceil(ids.length * share));
    return {
      ids: Array.from({ length: Math.min(length, ids.length) }, (_, i) => ids[i]! % vocabulary),
      weights: Array.from({ length: Math.min(length, ids.length) }, (_, i) => weights[i]!),
    };
  });
}

function tokensOf(sequences: readonly Sequence[]): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** Of what is no product the node that moves most, one that does nothing, and of each kind of product the largest. */
async function measureRates(runtime: Runtime, { step }: RunGraphs, sizes: SymbolSizes): Promise<Rates> {
  const bytesOf = byteCounter(sizes);
  const largest = (chosen: (node: Node) => boolean, size: (node: Node) => number): Node | undefined => {
    const nodes = step.nodes.filter(chosen).map((node) => ({ node, size: size(node) }));
    return nodes.sort((a, b) => b.size - a.size)[0]?.node;
  };
  const seconds = (node: Node): Promise<number> => timeNode(runtime, step, node, sizes);
  const x = { name: "x", dtype: "float32", shape: [1] } as const;
  const nodeSeconds = await seconds({ op: "Neg", inputs: [x], outputs: [x], attributes: {} });
  const mover = largest(
    ({ op }) => op === "Mul" || op === "Add",
    (node) => nodeBytes(node, bytesOf),
  )!;
  const bytesPerSecond = nodeBytes(mover, bytesOf) / (await seconds(mover));
  const operationsPerSecond: Partial<Record<ProductKind, number>> = {};
  for (const kind of productKinds) {
    const product = largest(
      (node) => productKind(node) === kind,
      (node) => productOperations(node, sizes),
    );
    if (product === undefined) continue;
    const whole = await seconds(product);
    // Without its operands' way to the caches, which counts by itself; of a thin product that may seem to be all.
    const net = Math.max(whole / 2, whole - nodeBytes(product, bytesOf) / bytesPerSecond);
    operationsPerSecond[kind] = productOperations(product, sizes) / net;
  }
  return { operationsPerSecond, bytesPerSecond, nodeSeconds };
}
