/** What a run trains: which parameters, their first values, and what they are when it is done. */
import { type Tensor, float32 } from "../compute/tensor/index.ts";
import type { ChatModel } from "../model/index.ts";
import { type AdapterOptions, type ModelSpec, expectedWeights } from "../model/decoder/index.ts";
import { type ParameterLayout, parameterLayout, parameterViews } from "../model/nn/index.ts";
import {
  type Adapter,
  type LoraPair,
  type TokenRows,
  type WeightStore,
  loadAdapter,
  loraScale,
} from "../model/weights/index.ts";
import {
  type AdaptedLayer,
  adaptedLayers,
  initialAdapter,
  loraParameters,
  savedWeights,
  targetModulesOf,
} from "../train/index.ts";
import { UserError } from "../util/index.ts";
import type { TrainConfig } from "./schema.ts";

export interface TrainedParts {
  /** Empty where every weight is trained. */
  readonly layers: readonly AdaptedLayer[];
  readonly layout: ParameterLayout;
  /** s in y = Wx + s · B(Ax). */
  readonly scale: number;
  /** Absent where every weight is trained. */
  readonly adapter?: AdapterOptions;
}

export function trainedParts(config: TrainConfig, spec: ModelSpec): TrainedParts {
  const { lora, optimizer } = config;
  const scale = loraScale(lora.alpha, lora.rank, lora.rsLora);
  if (config.method !== "lora") {
    const given =
      lora.from === undefined ? optimizer.loraPlusRatio !== 1 && "optimizer.loraPlusRatio" : "lora.from";
    if (given !== false)
      throw new UserError(`${given} is about adapters, but method is ${config.method}`, {
        next: "Leave one of them out.",
      });
    return { layers: [], layout: parameterLayout(expectedWeights(spec)), scale };
  }
  const layers = adaptedLayers(spec, lora.targets);
  const adapted = new Set(layers.map(({ path }) => path));
  const whole = savedWeights(spec, lora.modulesToSave, layers);
  return {
    layers,
    layout: parameterLayout([...loraParameters(layers, lora.rank, lora.dora), ...whole]),
    scale,
    adapter: {
      rank: lora.rank,
      scale,
      adapts: (path) => adapted.has(path),
      ...(lora.dora ? { dora: true } : {}),
    },
  };
}

/** The parameters before the first step [N]: PEFT's for an adapter or those of `lora.from`, the base's for whole weights. */
export async function firstValues(
  config: TrainConfig,
  { layers, layout, scale }: TrainedParts,
  { spec, store }: Pick<ChatModel, "spec" | "store">,
  onWeight?: (done: number, total: number) => void,
): Promise<Float32Array> {
  const flat = initialAdapter(layout, config.seed);
  const { from } = config.lora;
  const before = from === undefined ? undefined : await loadAdapter(from, store);
  if (before !== undefined) await refuseOtherAdapter(before, from!, { config, layers, scale, spec, store });
  let done = 0;
  for (const [name, view] of parameterViews(layout, flat)) {
    const [, path, part] = /^(.+)\.(lora_A\.weight|lora_B\.weight|lora_magnitude_vector)$/.exec(name) ?? [];
    const pair = path === undefined ? undefined : before?.layers.get(path);
    if (part === "lora_A.weight") view.set(pair?.a.data ?? view);
    else if (part === "lora_B.weight") view.set(pair?.b.data ?? view);
    else if (part !== undefined)
      view.set(pair?.magnitude?.data ?? rowNorms(await store.read(`${path}.weight`)));
    else view.set((before?.replaced?.get(name) ?? (await store.read(name))).data);
    onWeight?.(++done, layout.entries.length);
  }
  return flat;
}

/** ‖row‖ of W [O, I]: a magnitude that changes nothing. */
function rowNorms({ shape, data }: Tensor<"float32">): Float32Array {
  const [rows, width] = shape as [number, number];
  return Float32Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += data[i]! ** 2;
    return Math.sqrt(sum);
  });
}

interface Wanted {
  readonly config: TrainConfig;
  readonly layers: readonly AdaptedLayer[];
  readonly scale: number;
  readonly spec: ModelSpec;
  readonly store: Pick<WeightStore, "read">;
}

/** Going on from an adapter of another shape or meaning would not go on from it: the setting is named. */
async function refuseOtherAdapter(
  { config: its, layers, replaced, tokenRows }: Adapter,
  folder: string,
  { config, layers: wanted, scale, spec, store }: Wanted,
): Promise<void> {
  const { lora } = config;
  const refuse = (setting: string, own: unknown, asked: unknown): never => {
    throw new UserError(
      `the adapter ${folder} has ${setting} ${shown(own)}, but the configuration says ${shown(asked)}`,
      {
        at: "lora.from",
        next: `Set lora.${setting} to ${shown(own)}, or start without lora.from.`,
      },
    );
  };
  const same = (a: readonly string[], b: readonly string[]): boolean =>
    a.toSorted().join() === b.toSorted().join();
  const odd = [...layers.values()].find(({ a }) => a.shape[0] !== lora.rank);
  if (odd !== undefined) refuse("rank", odd.a.shape[0], lora.rank);
  if (its.rsLora !== lora.rsLora) refuse("rsLora", its.rsLora, lora.rsLora);
  if ((its.dora ?? false) !== lora.dora) refuse("dora", its.dora ?? false, lora.dora);
  if ([...layers.values()].some((pair) => Math.abs(pair.scale / scale - 1) > 1e-9))
    refuse("alpha", its.alpha, lora.alpha);
  if (
    !same(
      [...layers.keys()],
      wanted.map(({ path }) => path),
    )
  ) {
    const targets = targetModulesOf(spec, adaptedLayers(spec, [...layers.keys()]));
    refuse("targets", targets, lora.targets);
  }
  const whole = savedWeights(spec, lora.modulesToSave, wanted).map(({ name }) => name);
  if (!same([...(replaced?.keys() ?? [])], whole))
    refuse("modulesToSave", its.modulesToSave ?? [], lora.modulesToSave);
  for (const [name, { ids, values }] of tokenRows ?? []) {
    const { data } = await store.read(name);
    const width = values.shape[1]!;
    const differs = ids.some((id, row) =>
      values.data
        .subarray(row * width, (row + 1) * width)
        .some((value, i) => Math.abs(value - data[id * width + i]!) > 1e-6),
    );
    if (differs) {
      throw new UserError(
        `the adapter ${folder} brings rows of its own in ${name}, which training would not keep`,
        {
          at: "lora.from",
          next: "Merge it into its base with PEFT, and train on the result.",
        },
      );
    }
  }
}

function shown(value: unknown): string {
  return Array.isArray(value) ? `[${value.join(", ")}]` : String(value);
}

/** Rows that a new separator added to the embeddings and the vocabulary product, unless those are saved whole. */
export async function addedRows(
  { opened, spec, store }: Pick<ChatModel, "opened" | "spec" | "store">,
  { layout }: Pick<TrainedParts, "layout">,
): Promise<ReadonlyMap<string, TokenRows>> {
  const rows = new Map<string, TokenRows>();
  const first = opened.spec.vocabulary;
  const count = spec.vocabulary - first;
  if (count === 0) return rows;
  const whole = new Set(layout.entries.map(({ name }) => name));
  const width = spec.hiddenSize;
  for (const name of ["model.embed_tokens.weight", ...(spec.tiedEmbeddings ? [] : ["lm_head.weight"])]) {
    if (whole.has(name)) continue;
    const { data } = await store.read(name);
    const values = float32([count, width], data.slice(first * width, spec.vocabulary * width));
    rows.set(name, { ids: Array.from({ length: count }, (_, i) => first + i), values });
  }
  return rows;
}

/** The flat vector as the adapter that PEFT reads; for whole models, one that replaces every weight. */
export function trainedAdapter(
  config: TrainConfig,
  { layers, layout, scale }: TrainedParts,
  { opened, spec }: Pick<ChatModel, "opened" | "spec">,
  parameters: Float32Array,
  added: ReadonlyMap<string, TokenRows> = new Map(),
): Adapter {
  const views = parameterViews(layout, parameters);
  const shapes = new Map(layout.entries.map(({ name, shape }) => [name, shape]));
  const tensorOf = (name: string): Tensor<"float32"> => float32(shapes.get(name)!, views.get(name)!);
  const { lora } = config;
  const whole = layout.entries.filter(({ name }) => !name.includes(".lora_"));
  const tablesTouched = whole.some(({ name }) => name === "model.embed_tokens.weight");
  return {
    config: {
      rank: lora.rank,
      alpha: lora.alpha,
      dropout: lora.dropout,
      rsLora: lora.rsLora,
      ...(lora.dora ? { dora: true } : {}),
      ...(lora.modulesToSave.length === 0 ? {} : { modulesToSave: lora.modulesToSave }),
      ...(spec.tiedEmbeddings && tablesTouched ? { tied: true } : {}),
      targetModules: targetModulesOf(spec, layers),
      baseModel: opened.name,
      ...(opened.revision === undefined ? {} : { baseRevision: opened.revision }),
    },
    layers: new Map(
      layers.map(({ path }): [string, LoraPair] => [
        path,
        {
          a: tensorOf(`${path}.lora_A.weight`),
          b: tensorOf(`${path}.lora_B.weight`),
          scale,
          ...(lora.dora ? { magnitude: tensorOf(`${path}.lora_magnitude_vector`) } : {}),
        },
      ]),
    ),
    ...(whole.length === 0 ? {} : { replaced: new Map(whole.map(({ name }) => [name, tensorOf(name)])) }),
    ...(added.size === 0 ? {} : { tokenRows: added }),
  };
}
