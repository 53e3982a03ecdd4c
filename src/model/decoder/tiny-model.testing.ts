/** Tiny models out of golden files, and runs of their graphs on any runtime, for tests of the model and of training. */
import { readFileSync } from "node:fs";
import { type Graph, GraphBuilder } from "../../compute/graph/index.ts";
import type { Runtime } from "../../compute/runtime/index.ts";
import { type Tensor, float32, scalar, zeros } from "../../compute/tensor/index.ts";
import { formulaTensor } from "../../../test/fixtures/formula-weights.ts";
import {
  type ParameterLayout,
  inputWeights,
  linear,
  lora,
  parameterLayout,
  rotaryTables,
  scope,
} from "../nn/index.ts";
import { decoder, finalNorm, vocabularyTable } from "./decoder.ts";
import { type Sequence, flatBatch } from "./flat-batch.ts";
import { type LossGraphOptions, batchInputs, lossGraph } from "./loss-graph.ts";
import { specFromConfig } from "./model-spec-config.ts";
import { expectedWeights, linearLayers } from "./model-spec-weights.ts";
import { type ModelSpec, ropeFrequencies } from "./model-spec.ts";

export const families = [
  "llama2",
  "llama3.1",
  "mistral",
  "qwen2",
  "qwen2-mixed-window",
  "qwen3",
  "smollm2",
  "tinyllama",
  "llama-biases",
] as const;
export type Family = (typeof families)[number];

interface GoldenFile {
  readonly config: unknown;
  readonly rank: number;
  readonly alpha: number;
  readonly rows: readonly (readonly number[])[];
  readonly weights: readonly (readonly number[])[];
  readonly base: { readonly loss: number; readonly logits: string };
  readonly full?: { readonly names: readonly string[]; readonly gradient: string };
  readonly lora: Readonly<
    Record<
      string,
      {
        readonly loss: number;
        readonly names: readonly string[];
        readonly gradient: string;
        readonly logits?: string;
      }
    >
  >;
  readonly greedy: readonly { readonly ids: readonly number[] }[];
}

export interface TinyModel {
  readonly golden: GoldenFile;
  readonly spec: ModelSpec;
  readonly weights: ReadonlyMap<string, Tensor<"float32">>;
  readonly sequences: readonly Sequence[];
  /** Σ of the sequences' weights. */
  readonly weight: number;
  /** alpha / R */
  readonly scale: number;
}

export function tinyModel(family: Family): TinyModel {
  const url = new URL(`../../../test/golden/parity/${family}.json`, import.meta.url);
  const golden = JSON.parse(readFileSync(url, "utf8")) as GoldenFile;
  const spec = specFromConfig(golden.config);
  return {
    golden,
    spec,
    weights: new Map(expectedWeights(spec).map(({ name, shape }) => [name, formulaTensor(name, shape)])),
    sequences: golden.rows.map((ids, i) => ({ ids, weights: golden.weights[i]! })),
    weight: golden.weights.flat().reduce((a, b) => a + b),
    scale: golden.alpha / golden.rank,
  };
}

/** Base64 of little-endian float32. */
export function unpack(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer);
}

/** Largest difference, relative to the largest expected value. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let [difference, size] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    const gap = Math.abs(got[i]! - want[i]!);
    difference = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : Math.max(difference, gap);
    size = Math.max(size, Math.abs(want[i]!));
  }
  return difference / size;
}

/** The layout of these parameters in this order: plain weights, or LoRA's A and B of rank `rank`. */
export function layoutOf(spec: ModelSpec, names: readonly string[], rank: number): ParameterLayout {
  const plain = new Map(expectedWeights(spec).map(({ name, shape }) => [name, shape]));
  const linears = new Map(linearLayers(spec).map(({ name, shape }) => [name, shape]));
  const shapeOf = (name: string): readonly number[] => {
    const parts = /^model\.layers\.\d+\.(.+)\.lora_([AB])\.weight$/.exec(name);
    if (parts === null) return plain.get(name)!;
    const [outWidth, inWidth] = linears.get(parts[1]!) as [number, number];
    return parts[2] === "A" ? [rank, inWidth] : [outWidth, rank];
  };
  return parameterLayout(names.map((name) => ({ name, shape: shapeOf(name) })));
}

/** The formula's values of a layout, as the flat vector. */
export function formulaVector(layout: ParameterLayout): Float32Array {
  const flat = new Float32Array(layout.size);
  for (const { name, shape, offset } of layout.entries) flat.set(formulaTensor(name, shape).data, offset);
  return flat;
}

export interface LossRun {
  readonly loss: number;
  readonly gradient: Float32Array;
}

export interface LossRunOptions extends Pick<LossGraphOptions, "layout"> {
  readonly parameters: Float32Array;
  readonly adapter?: LossGraphOptions["adapter"];
  readonly dropout?: number;
  readonly queryChunks?: number;
  readonly share?: boolean;
  readonly lossChunks?: number;
  readonly recompute?: LossGraphOptions["recompute"];
  /** Default: 1 / Σ weights. */
  readonly lossScale?: number;
  readonly gradientSum?: Float32Array;
  /** The keep masks of dropout inputs by name. */
  readonly masks?: Readonly<Record<string, Tensor<"bool">>>;
}

/** Loss and gradient of sequences by the product's loss graph. */
export async function runLoss(
  runtime: Runtime,
  model: Pick<TinyModel, "spec" | "weights">,
  sequences: readonly Sequence[],
  options: LossRunOptions,
): Promise<LossRun> {
  const { layout, parameters, adapter, dropout, queryChunks = 1, lossChunks = 1, share = true } = options;
  const graph = lossGraph(model.spec, {
    layout,
    ...(adapter === undefined ? {} : { adapter }),
    ...(dropout === undefined ? {} : { dropout }),
    gradients: true,
    queryChunks,
    lossChunks,
    recompute: options.recompute ?? "none",
  });
  const weight = sequences.reduce((sum, { weights }) => sum + Array.from(weights).reduce((a, b) => a + b), 0);
  await using program = await runtime.compile(graph);
  const { outputs } = await program.run({
    ...frozen(graph, model),
    ...flatBatch(sequences, model.spec, { queryChunks, lossChunks, share }).feeds,
    ...rotaryFeeds(model.spec),
    ...options.masks,
    parameters: float32([layout.size], parameters),
    gradientSum:
      options.gradientSum === undefined
        ? zeros("float32", [layout.size])
        : float32([layout.size], options.gradientSum),
    lossScale: scalar(options.lossScale ?? 1 / weight),
  });
  return {
    loss: (outputs["loss"]!.data as Float32Array)[0]!,
    gradient: outputs["gradient"]!.data as Float32Array,
  };
}

/** Logits [T, V] of every token of the sequences, one after another; `adapter` holds LoRA's A and B by name. */
export async function runLogits(
  runtime: Runtime,
  model: Pick<TinyModel, "spec" | "weights">,
  sequences: readonly Sequence[],
  adapter: ReadonlyMap<string, Tensor<"float32">> = new Map(),
  scale = 1,
): Promise<Float32Array> {
  const { spec } = model;
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const rank = adapter.values().next().value?.shape[0] ?? 0;
  const adapts = (path: string): boolean => adapter.has(`${path}.lora_A.weight`);
  const hidden = decoder(root, spec, batchInputs(g, spec, 1), {
    linear: adapter.size === 0 ? linear : lora(linear, { rank, scale, adapts, merged: false }),
    queryChunks: 1,
    recompute: "none",
    trainable: new Map(),
  });
  g.output("logits", g.matmul(finalNorm(root, spec, hidden), vocabularyTable(root, spec), { transB: true }));
  const graph = g.build();
  const batch = flatBatch(sequences, spec, { queryChunks: 1, lossChunks: 1, share: false }).feeds;
  const wanted = new Set(graph.inputs.map(({ name }) => name));
  await using program = await runtime.compile(graph);
  const { outputs } = await program.run({
    ...frozen(graph, { weights: new Map([...model.weights, ...adapter]) }),
    ...Object.fromEntries(Object.entries(batch).filter(([name]) => wanted.has(name))),
    ...rotaryFeeds(spec),
  });
  return outputs["logits"]!.data as Float32Array;
}

function frozen(graph: Graph, { weights }: Pick<TinyModel, "weights">): Record<string, Tensor> {
  return Object.fromEntries(
    graph.inputs.flatMap(({ name }) => (weights.has(name) ? [[name, weights.get(name)!] as const] : [])),
  );
}

function rotaryFeeds(spec: ModelSpec): Record<string, Tensor> {
  const { cos, sin } = rotaryTables(ropeFrequencies(spec), 64);
  return { rotaryCos: cos, rotarySin: sin };
}
