/** How the training graphs compute and keep their numbers: mixed precision and half-precision activations as passes. */
import { type Graph, type HalfType, autocast, halfActivations, optimize } from "../compute/graph/index.ts";

/** `fp16` and `bf16`: matrix products in that format, everything else in float32, as torch.autocast has it. */
export type Precision = "float32" | "fp16" | "bf16";

export interface Numerics {
  readonly precision: Precision;
  /** Whether the provider has half-precision products, or float32 ones of rounded operands stand for them. */
  readonly products: "native" | "rounded";
  /** How values are kept between the forward and the backward pass. */
  readonly activations: "float32" | "float16";
}

export const plainNumerics: Numerics = { precision: "float32", products: "rounded", activations: "float32" };

export const halfTypes: Readonly<Record<Exclude<Precision, "float32">, HalfType>> = {
  fp16: "float16",
  bf16: "bfloat16",
};

/** `graph`, as `lossGraph` builds it, in that precision; inputs named in `exact` hold half-precision values already. */
export function inPrecision(
  graph: Graph,
  { precision, products, activations }: Numerics,
  exact: ReadonlySet<string> = new Set(),
): Graph {
  const half = precision === "float32" ? undefined : halfTypes[precision];
  const cast = half === undefined ? graph : autocast({ half, products, exact })(graph);
  if (!cast.outputs.has("gradient") || (half === undefined && activations === "float32")) return cast;
  let kept = optimize(cast);
  // What was rounded to the format anyway is kept in it; native products hand it over in it already.
  if (half !== undefined && products === "rounded")
    kept = halfActivations({ loss: "loss", half, values: "exact" })(kept);
  if (activations === "float16")
    kept = halfActivations({ loss: "loss", half: "float16", values: "all" })(kept);
  return kept;
}
