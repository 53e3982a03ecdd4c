/** A model whose frozen linear layers are held in fewer bits: read weight by weight, never as floats all together. */
import type { Runtime } from "../../compute/runtime/index.ts";
import {
  type BlockFormat,
  type BlockTensor,
  type Tensor,
  blockBytes,
  dequantiseBlocks,
  elementCount,
  fitsBlocks,
  float32,
  quantiseBlocks,
  quantisedFormat,
  tensor,
} from "../../compute/tensor/index.ts";
import { UserError } from "../../util/index.ts";
import { type Products, blockLinear } from "../nn/index.ts";
import { type WeightStore, storedBlockFormat, storedBlockTypes, storedBlocks } from "../weights/index.ts";
import { expectedWeights, linearLayers } from "./model-spec-weights.ts";
import type { ModelSpec } from "./model-spec.ts";
import { quantiseRows } from "./quantise-rows.ts";
import { type ResidentModel, residentModel } from "./resident-model.ts";
import { weightUploads } from "./weight-uploads.ts";

export interface FrozenBase {
  /** `stored`: the blocks of a GGUF file as they are. `llm-int8`: 8 bits by row, see llm-int8.ts. */
  readonly base: "float32" | "llm-int8" | "int4" | "nf4" | "stored";
  /** `int8` keeps a copy of each weight in 8 bits by row for the backward product, where the base is not such already. */
  readonly backward: Products;
  /** Neighbours that share a scale, for int4 and nf4: even, and a divisor of every layer's weights. */
  readonly blockSize: number;
  /** Which layers are held so, by path; absent: all. The rest is float32. */
  readonly applies?: (path: string) => boolean;
}

/** Such as `model.layers.0.mlp.up_proj`, of every linear layer. */
export function linearPaths(spec: ModelSpec): ReadonlySet<string> {
  return new Set(
    Array.from({ length: spec.layers }, (_, layer) =>
      linearLayers(spec).map(({ name }) => `model.layers.${layer}.${name}`),
    ).flat(),
  );
}

/** The format that each linear layer is going to have, by path; plain float32 ones are absent. A misfit is a `UserError`. */
export function frozenFormats(
  spec: ModelSpec,
  store: Pick<WeightStore, "info">,
  { base, blockSize, applies = () => true }: FrozenBase,
): ReadonlyMap<string, BlockFormat> {
  const formats = new Map<string, BlockFormat>();
  if (base === "float32") return formats;
  const storages = new Set<string>();
  for (const path of linearPaths(spec)) {
    if (!applies(path)) continue;
    const { storage, shape } = store.info(`${path}.weight`);
    storages.add(storage);
    const format =
      base === "stored"
        ? storedBlockFormat(storage)
        : base === "llm-int8"
          ? rowFormat(shape[1]!)
          : quantisedFormat(base === "nf4" ? "nf4" : "symmetric", blockSize);
    if (format === undefined) continue;
    if (!fitsBlocks(elementCount(shape), format)) throw misfit(spec, path, shape, blockSize);
    formats.set(path, format);
  }
  if (formats.size > 0) return formats;
  throw new UserError(
    `training.base is stored, but the linear layers are stored as ${[...storages].join(", ")}, not in blocks`,
    {
      next: `Take a GGUF file in one of ${storedBlockTypes.join(", ")}, or set training.base to int4, nf4 or int8.`,
    },
  );
}

/** 8 bits whose blocks are rows. */
function rowFormat(columns: number): BlockFormat {
  return { bits: 8, code: "symmetric", block: columns, span: columns };
}

function misfit(spec: ModelSpec, path: string, shape: readonly number[], blockSize: number): UserError {
  const fitting = [128, 64, 32].filter((size) =>
    linearLayers(spec).every((layer) => elementCount(layer.shape) % size === 0),
  );
  return new UserError(
    `training.blockSize is ${blockSize}, but ${path} has ${shape.join(" × ")} weights, not a multiple of it`,
    {
      next:
        fitting.length === 0
          ? "Set training.base to int8 or float32."
          : `Try training.blockSize=${fitting[0]}.`,
    },
  );
}

function keepsCopy({ base, backward }: FrozenBase): boolean {
  return backward === "int8" && base !== "llm-int8";
}

export interface FrozenBytes {
  /** All weights as they are held. */
  readonly weights: number;
  /** The largest layer as floats, forward and backward: what is formed and let go again. */
  readonly scratch: number;
}

/** Bytes of a model so held, embeddings and norms in float32 included; what does not fit is a `UserError`. */
export function frozenBytes(
  spec: ModelSpec,
  store: Pick<WeightStore, "info">,
  options: FrozenBase,
): FrozenBytes {
  const formats = frozenFormats(spec, store, options);
  const paths = linearPaths(spec);
  let [weights, largest] = [0, 0];
  for (const { name, shape } of expectedWeights(spec)) {
    const path = name.slice(0, -".weight".length);
    const elements = elementCount(shape);
    const format = paths.has(path) ? formats.get(path) : undefined;
    weights += format === undefined ? 4 * elements : blockBytes(format, elements);
    if (format !== undefined) largest = Math.max(largest, elements);
    if (paths.has(path) && keepsCopy(options)) weights += elements + 4 * shape[0]!;
  }
  return { weights, scratch: 2 * 4 * largest };
}

/** Reads every weight and uploads it in the form that `options` name; `onWeight` is told after each. */
export async function loadFrozenModel(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  options: FrozenBase,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const formats = frozenFormats(spec, store, options);
  const paths = linearPaths(spec);
  const { hold, all } = weightUploads(runtime);
  const expected = expectedWeights(spec);
  for (const [done, { name }] of expected.entries()) {
    const path = name.slice(0, -".weight".length);
    const format = formats.get(path);
    const blocks =
      format === undefined
        ? undefined
        : options.base === "stored"
          ? storedBlocks(await store.readRaw(name))!
          : quantised(await store.read(name), format);
    const values = blocks === undefined ? await store.read(name) : undefined;
    if (keepsCopy(options) && paths.has(path)) {
      const floats = values?.data ?? dequantiseBlocks(blocks!);
      for (const [part, content] of backwardCopy(floats, store.info(name).shape))
        hold(`${path}.${part}`, content);
    }
    if (values !== undefined) hold(name, values);
    else for (const [part, content] of blockTensors(blocks!)) hold(`${name}.${part}`, content);
    onWeight?.(done + 1, expected.length);
  }
  const plain = formats.size === 0 && options.backward === "float32";
  return residentModel(
    runtime,
    spec,
    await all(),
    plain ? undefined : blockLinear(formats, options.backward),
  );
}

function quantised({ shape, data }: Tensor<"float32">, format: BlockFormat): BlockTensor {
  const { bits, code, block } = format;
  if (bits === 8) return { shape, format, ...quantiseRows(data, block) };
  return quantiseBlocks(data, shape, code === "nf4" ? "nf4" : "symmetric", block);
}

/** The inputs that a layer in blocks reads, by the ending of their names. */
export function blockTensors({
  format,
  codes,
  scale,
  minimum,
}: BlockTensor): readonly (readonly [string, Tensor])[] {
  const { bits, block, span } = format;
  return [
    [
      "codes",
      codes instanceof Int8Array
        ? tensor("int8", [scale.length, block], codes)
        : tensor("uint8", [(codes.length * 8) / bits / span, span / 2], codes),
    ],
    ["scale", float32([scale.length], scale)],
    ...(minimum === undefined ? [] : [["minimum", float32([minimum.length, 1], minimum)] as const]),
  ];
}

/** The 8-bit copy that `int8Backward` reads. */
export function backwardCopy(
  values: Float32Array,
  shape: readonly number[],
): readonly (readonly [string, Tensor])[] {
  const columns = shape[1]!;
  const { codes, scale } = quantiseRows(values, columns);
  return [
    ["backward.int8", tensor("int8", shape, codes)],
    ["backward.scale", float32([scale.length], scale)],
  ];
}
