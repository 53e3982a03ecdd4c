/** LLM.int8(): activations in 8 bits by token but for the few outlier channels, which stay float (Dettmers et al., 2022). */
import {
  type Products,
  inputName,
  inputScope,
  int8Backward,
  integerProduct,
  quantiseByToken,
  rowsAsFloats,
} from "./int8.ts";
import type { Linear } from "./linear.ts";

/**
 * y = x₈ W₈ᵀ + x_o W_oᵀ. The input group's `regular` [I] is 0 at outlier channels and else 1, its `outliers` [n] names
 * them; the layer's `weight.codes` [O, I] and `weight.scale` [O] are the weight by row, `weight.outliers` [O, n] its
 * float columns. dx = dy W₈ with W₈ dequantised one layer at a time, as bitsandbytes does, or in 8 bits.
 * `outliers` gives n by `inputName` of a layer's path.
 */
export function llmInt8Linear(outliers: ReadonlyMap<string, number>, backward: Products): Linear {
  return (scope, x, outWidth, bias = false) => {
    const { g } = scope;
    const inWidth = x.shape.at(-1) as number;
    const count = outliers.get(inputName(scope.path)) ?? 0;
    const q = scope.weight("weight.codes", [outWidth, inWidth], "int8");
    const scale = scope.weight("weight.scale", [outWidth]);
    const [y] = g.custom(
      [x],
      () => {
        const group = inputScope(scope);
        const regular = count === 0 ? x : g.mul(x, group.weight("regular", [inWidth]));
        const [codes, step] = quantiseByToken(g, regular);
        const product = g.mul(integerProduct(g, codes, q, scale, true), step);
        if (count === 0) return [product];
        const loud = g.gather(x, group.weight("outliers", [count], "int64"), 1);
        const columns = scope.weight("weight.outliers", [outWidth, count]);
        return [g.add(product, g.matmul(loud, columns, { transB: true }))];
      },
      ([dy]) => [
        backward === "int8"
          ? int8Backward(g, dy!, { codes: q, scale })
          : g.matmul(dy!, rowsAsFloats(g, dy!, q, scale)),
      ],
    );
    return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
  };
}
