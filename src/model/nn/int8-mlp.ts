/** The gated feed-forward layer over an 8-bit frozen base, as one stretch with a gradient of its own. */
import type { Value } from "../../compute/graph/index.ts";
import { type Int8Layer, int8Layer, integerProduct, quantiseByToken, rowsAsFloats } from "./int8.ts";
import { type FeedForward, type GatedProduct, gatedProduct } from "./mlp.ts";

/**
 * down(silu(gate(x)) ⊙ up(x)) of three layers as `int8Linear` has them, frozen and without biases. What the up layer's
 * result and the gradient of the product are to be multiplied by, for a token or a channel, is not: codes by token are the same
 * for all multiples of a token, so its factors join the next product's, and a channel's factor goes into the scales of
 * the product before. Saves four passes over [T, F].
 * Where `floatDown` says so, the down layer's forward product is in float32.
 */
export const int8Mlp =
  (floatDown: (path: string) => boolean): FeedForward =>
  (scope, x, width) => {
    const { g } = scope;
    const downScope = scope.at("down_proj");
    const hidden = x.shape.at(-1) as number;
    const gate = int8Layer(scope.at("gate_proj"), width, hidden);
    const up = int8Layer(scope.at("up_proj"), width, hidden);
    const down = int8Layer(downScope, hidden, width);
    // The column scales of up(x) / s, s being the smoothing of what `down` reads.
    const upScale = g.mul(up.scale, down.inverse);
    let gated: GatedProduct;
    let xStep: Value;
    const [y] = g.custom(
      [x],
      () => {
        const [codes, step] = quantiseByToken(g, g.mul(x, gate.inverse));
        xStep = step;
        const a = g.mul(integerProduct(g, codes, gate.codes, gate.scale, true), xStep);
        const b = integerProduct(g, codes, up.codes, upScale, true);
        gated = gatedProduct(g, a, b);
        const { product } = gated;
        if (floatDown(downScope.path)) {
          const rows = rowsAsFloats(g, product, down.codes, down.scale);
          return [g.mul(g.matmul(product, rows, { transB: true }), xStep)];
        }
        const [productCodes, own] = quantiseByToken(g, product);
        return [g.mul(integerProduct(g, productCodes, down.codes, down.scale, true), g.mul(own, xStep))];
      },
      ([dy]) => {
        const [codes, yStep] = quantiseByToken(g, g.mul(dy!, down.scale));
        const ct = integerProduct(g, codes, down.codes, upScale, false);
        const back = (dCodes: Value, of: Int8Layer, step: Value): Value => {
          const [codes, own] = quantiseByToken(g, dCodes);
          return g.mul(integerProduct(g, codes, of.codes, of.inverse, false), g.mul(own, step));
        };
        return [
          g.add(
            back(g.mul(ct, gated.silu), up, yStep),
            back(g.mul(g.mul(ct, gated.slope), g.div(gate.scale, upScale)), gate, g.mul(yStep, xStep)),
          ),
        ];
      },
    );
    return y!;
  };
