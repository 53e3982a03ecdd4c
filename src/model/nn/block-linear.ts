/** Linear layers over a frozen base in blocks of 4 or 8 bits, dequantised one layer at a time where it is used. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import { type BlockFormat, float32, nf4Values, tensor } from "../../compute/tensor/index.ts";
import { type Products, int8Backward } from "./int8.ts";
import { type Linear, linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/**
 * y = x Wᵀ and dx = dy W with W from `weight.codes`, `weight.scale` and perhaps `weight.minimum`, in the format of
 * the layer's path; a layer without a format is plain float32. W [O, I] is formed anew for each product (QLoRA,
 * Dettmers et al., 2023): behind a barrier on what it is multiplied with, for else one float copy of every layer would
 * live from the forward product to the backward one.
 */
export function blockLinear(formats: ReadonlyMap<string, BlockFormat>, backward: Products): Linear {
  return (scope, x, outWidth, bias = false) => {
    const { g } = scope;
    const inWidth = x.shape.at(-1) as number;
    const format = formats.get(scope.path);
    if (format === undefined && backward === "float32") return linear(scope, x, outWidth, bias);
    const weight = (token: Value): Value =>
      format === undefined
        ? scope.weight("weight", [outWidth, inWidth])
        : dequantise(scope, format, [outWidth, inWidth], token);
    const [y] = g.custom(
      [x],
      () => [g.matmul(x, weight(x), { transB: true })],
      ([dy]) => [
        backward === "int8"
          ? int8Backward(g, dy!, {
              codes: scope.weight("backward.int8", [outWidth, inWidth], "int8"),
              scale: scope.weight("backward.scale", [outWidth]),
            })
          : g.matmul(dy!, weight(dy!)),
      ],
    );
    return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
  };
}

/** W [O, I] float32, not before `token` exists. */
function dequantise(
  scope: Scope,
  format: BlockFormat,
  [outWidth, inWidth]: readonly [number, number],
  token: Value,
): Value {
  const { g } = scope;
  const { bits, code, block, span } = format;
  const elements = outWidth * inWidth;
  const blocks = elements / block;
  const stored =
    bits === 4
      ? scope.weight("weight.codes", [elements / span, span / 2], "uint8")
      : scope.weight("weight.codes", [blocks, block], "int8");
  const held = g.barrier(stored, token);
  const codes = bits === 4 ? g.reshape(halves(g, held), [blocks, block]) : held;
  const scale = scope.weight("weight.scale", [blocks]);
  const values =
    code === "nf4" ? lookUp(g, codes, g.reshape(scale, [blocks, 1])) : scaled(g, codes, scale, format);
  const shifted = code === "offset" ? g.sub(values, scope.weight("weight.minimum", [blocks, 1])) : values;
  return g.reshape(shifted, [outWidth, inWidth]);
}

/** bytes [N, C] → [N, 2·C]: their low halves, then their high ones. */
function halves(g: GraphBuilder, bytes: Value): Value {
  const byte = (value: number): Value => g.constant(tensor("uint8", [], Uint8Array.of(value)));
  return g.concat([g.bitAnd(bytes, byte(15)), g.bitShift(bytes, byte(4), "RIGHT")], 1);
}

/** (codes − zero) · scale by row. */
function scaled(g: GraphBuilder, codes: Value, scale: Value, { bits, code }: BlockFormat): Value {
  const zero =
    code === "symmetric" && bits === 4
      ? [g.expand(g.constant(tensor("uint8", [1], Uint8Array.of(8))), scale.shape)]
      : [];
  return g.op("DequantizeLinear", [codes, scale, ...zero], { axis: 0, block_size: 0 });
}

/** NF4 values · scale by row: each row looks up its own scaled table, which spares a pass over the matrix. */
function lookUp(g: GraphBuilder, codes: Value, scale: Value): Value {
  const tables = g.mul(scale, g.constant(float32([1, 16], nf4Values)));
  return g.op("GatherElements", [tables, g.cast(codes, "int32")], { axis: 1 });
}
