/** A model for mixed precision: the frozen matrices rounded to the format of the products when they are read. */
import type { HalfType } from "../../compute/graph/index.ts";
import type { Runtime } from "../../compute/runtime/index.ts";
import {
  type Tensor,
  bfloat16ToFloat32,
  float16ToFloat32,
  float32,
  float32ToBfloat16,
  float32ToFloat16,
  tensor,
} from "../../compute/tensor/index.ts";
import { UserError } from "../../util/index.ts";
import { halfLinear } from "../nn/index.ts";
import type { WeightStore } from "../weights/index.ts";
import { linearPaths } from "./frozen-base.ts";
import { expectedWeights, vocabularyWeight } from "./model-spec-weights.ts";
import type { ModelSpec } from "./model-spec.ts";
import { type ResidentModel, residentModel } from "./resident-model.ts";
import { weightUploads } from "./weight-uploads.ts";

export interface HalfBase {
  readonly half: HalfType;
  readonly products: "native" | "rounded";
  /** Whether layers must be plain float32 inputs, as DoRA needs them; rounded all the same. */
  readonly plain?: boolean;
}

/**
 * Linear layers in float16 are uploaded as such, two bytes a weight. onnxruntime takes no bfloat16 from JavaScript, so
 * those are float32 that hold bfloat16's values, as the vocabulary table is in both cases, which the embeddings read too.
 */
export async function loadHalfModel(
  runtime: Runtime,
  spec: ModelSpec,
  store: WeightStore,
  { half, products, plain = false }: HalfBase,
  onWeight?: (done: number, total: number) => void,
): Promise<ResidentModel> {
  const uploads = weightUploads(runtime);
  const paths = linearPaths(spec);
  const { exact } = halfForm(spec, { half, products, plain });
  const compact = half === "float16" && !plain;
  const expected = expectedWeights(spec);
  for (const [done, { name }] of expected.entries()) {
    const isLinear = paths.has(name.replace(/\.weight$/, "")) && name.endsWith(".weight");
    let content: Tensor = await store.read(name);
    if (isLinear && compact) content = tensor("float16", content.shape, toHalf(name, content.data));
    else if (exact.has(name))
      content = float32(content.shape, roundedTo(half, name, content.data as Float32Array));
    uploads.hold(name, content);
    onWeight?.(done + 1, expected.length);
  }
  const { frozen } = halfForm(spec, { half, products, plain });
  return { ...residentModel(runtime, spec, await uploads.all(), frozen), exact };
}

/** What graphs over such a model need to know of it. */
export function halfForm(
  spec: ModelSpec,
  { half, products, plain = false }: HalfBase,
): Pick<ResidentModel, "spec" | "frozen"> & { readonly exact: ReadonlySet<string> } {
  const compact = half === "float16" && !plain;
  const layers = compact ? [] : [...linearPaths(spec)].map((path) => `${path}.weight`);
  const exact = new Set([...layers, vocabularyWeight(spec)]);
  return { spec, exact, ...(compact ? { frozen: halfLinear(products) } : {}) };
}

/** Bytes of the weights as `loadHalfModel` holds them. */
export function halfBytes(spec: ModelSpec, { half, plain = false }: HalfBase): number {
  const paths = linearPaths(spec);
  const width = half === "float16" && !plain ? 2 : 4;
  return expectedWeights(spec).reduce((sum, { name, shape }) => {
    const elements = shape.reduce((product, length) => product * length, 1);
    return sum + (paths.has(name.replace(/\.weight$/, "")) ? width : 4) * elements;
  }, 0);
}

function toHalf(name: string, values: Tensor["data"]): Uint16Array<ArrayBuffer> {
  const bits = float32ToFloat16(values as Float32Array);
  if (bits.some((word) => (word & 0x7c00) === 0x7c00)) {
    throw new UserError(`${name} has weights beyond 65,504, which float16 cannot hold`, {
      next: "Set training.precision to bf16 or float32.",
    });
  }
  return bits;
}

function roundedTo(half: HalfType, name: string, values: Float32Array): Float32Array {
  const out = new Float32Array(values.length);
  if (half === "float16") float16ToFloat32(toHalf(name, values), out);
  else bfloat16ToFloat32(float32ToBfloat16(values), out);
  return out;
}
