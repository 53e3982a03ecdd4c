/** An adapter for use rather than training: beside the resident base that it changes, in the form that graphs read. */
import { GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor, Program } from "../../compute/runtime/index.ts";
import { float32 } from "../../compute/tensor/index.ts";
import { type Linear, lora, rowNorms } from "../nn/index.ts";
import type { Adapter, LoraPair, TokenRows } from "../weights/index.ts";
import type { ResidentModel } from "./resident-model.ts";

/** What of an adapter decides a graph. */
export interface AdapterUse {
  /** Layers with `lora_A.weight` [R, I] and `lora_B.weight` [O, R], the scale inside B. */
  readonly adapted: ReadonlySet<string>;
  /** Those have `lora_factor` [O] too, by which Wx is multiplied (DoRA). */
  readonly rescaled: boolean;
}

export const noAdapter: AdapterUse = { adapted: new Set(), rescaled: false };

/** The base's linear layer with the adapter's inputs around it. */
export function adapterLinear(base: Linear, { adapted, rescaled }: AdapterUse): Linear {
  if (adapted.size === 0) return base;
  return lora(base, {
    rank: "R",
    scale: 1,
    adapts: (path) => adapted.has(path),
    merged: false,
    ...(rescaled ? { rows: "factor" as const } : {}),
  });
}

export interface ResidentAdapter {
  readonly use: AdapterUse;
  /** Equal for adapters that share a graph. */
  readonly key: string;
  /** To be fed after the model's own weights: some take the place of those. */
  readonly feeds: Readonly<Record<string, DeviceTensor>>;
  release(): Promise<void>;
}

export async function residentAdapter(
  model: ResidentModel,
  adapter: Adapter | undefined,
): Promise<ResidentAdapter> {
  const { runtime } = model;
  const feeds: Record<string, DeviceTensor> = {};
  const pairs = [...(adapter?.layers ?? [])];
  const rescaled = pairs.some(([, { magnitude }]) => magnitude !== undefined);
  let program: Program | undefined;
  try {
    if (rescaled) program = await runtime.compile(factorGraph(), { name: "DoRA factors" });
    for (const [path, pair] of pairs) {
      feeds[`${path}.lora_A.weight`] = await runtime.upload(pair.a);
      const scaled = pair.b.data.map((value) => value * pair.scale);
      const b = float32(pair.b.shape, scaled);
      if (program === undefined) {
        feeds[`${path}.lora_B.weight`] = await runtime.upload(b, { transfer: true });
        continue;
      }
      const { kept } = await program.run(
        { weight: floatWeight(model, path), a: pair.a, b, magnitude: magnitudeOf(path, pair) },
        { keep: ["factor", "scaledB"], fetch: [] },
      );
      feeds[`${path}.lora_factor`] = kept["factor"]!;
      feeds[`${path}.lora_B.weight`] = kept["scaledB"]!;
    }
    for (const [name, value] of adapter?.replaced ?? []) feeds[name] = await runtime.upload(value);
    for (const [name, rows] of adapter?.tokenRows ?? []) feeds[name] = await tableWith(model, name, rows);
  } finally {
    await program?.[Symbol.asyncDispose]();
  }
  const adapted = new Set(pairs.map(([path]) => path));
  return {
    use: { adapted, rescaled },
    key: `${rescaled ? "rescaled " : ""}${[...adapted].sort().join(" ")}`,
    feeds,
    release: async () => {
      for (const tensor of Object.values(feeds)) await runtime.release(tensor);
    },
  };
}

/** `factor` [O] = magnitude / ‖W + BA‖ by row, and `scaledB` = B with its rows multiplied by it; the scale is inside B. */
function factorGraph(): ReturnType<GraphBuilder["build"]> {
  const g = new GraphBuilder();
  const weight = g.input("weight", "float32", ["O", "I"]);
  const a = g.input("a", "float32", ["R", "I"]);
  const b = g.input("b", "float32", ["O", "R"]);
  const magnitude = g.input("magnitude", "float32", ["O"]);
  const factor = g.div(magnitude, rowNorms(g, g.add(weight, g.matmul(b, a))));
  g.output("factor", factor);
  g.output("scaledB", g.mul(b, g.reshape(factor, ["O", 1])));
  return g.build();
}

function floatWeight({ weights }: ResidentModel, path: string): DeviceTensor {
  const weight = weights.get(`${path}.weight`);
  if (weight === undefined) throw new Error(`a DoRA adapter needs ${path}.weight in float32`);
  return weight;
}

function magnitudeOf(path: string, { magnitude }: LoraPair): NonNullable<LoraPair["magnitude"]> {
  if (magnitude === undefined) throw new Error(`${path} has no magnitude, though others have`);
  return magnitude;
}

/** The base's matrix with these rows in their places. */
async function tableWith(
  model: ResidentModel,
  name: string,
  { ids, values }: TokenRows,
): Promise<DeviceTensor> {
  const { runtime, weights } = model;
  const table = (await runtime.download(weights.get(name)!)).data as Float32Array;
  const width = values.shape[1]!;
  for (const [row, id] of ids.entries())
    table.set(values.data.subarray(row * width, (row + 1) * width), id * width);
  return runtime.upload(float32([table.length / width, width], table), { transfer: true });
}
