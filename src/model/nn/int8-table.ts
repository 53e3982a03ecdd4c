/** A frozen vocabulary table whose rows are held in 8 bits. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import {
  type Products,
  codesByToken,
  floatsByToken,
  integerProduct,
  quantiseByToken,
  rowsAsFloats,
} from "./int8.ts";
import { type ReadTable, rowsOf } from "./logits.ts";
import type { Scope } from "./scope.ts";

/**
 * The table E [V, D] whose rows stand in 8 bits at the scope, as a linear layer's do. Its expected row is the sum of many small
 * probabilities, too small for 8 bits of the largest: it is formed of 15 bits in two products, or in float32.
 */
export function int8Table(scope: Scope, rows: number, backward: Products = "int8"): ReadTable {
  const { g } = scope;
  return (h) => {
    const width = h.shape[1] as number;
    const inverse = scope.weight("smoothing", [width]);
    const q = scope.weight("weight.int8", [rows, width], "int8");
    const scale = scope.weight("weight.scale", [rows]);
    const [codes, step] = quantiseByToken(g, g.mul(h, inverse));
    return {
      block: (from, to, token) => {
        const part = (x: Value): Value => rowsOf(g, x, from, to, token);
        const [blockCodes, blockScale] = [part(q), part(scale)];
        return {
          logits: g.mul(integerProduct(g, codes, blockCodes, blockScale, true), step),
          expected: (probabilities) =>
            backward === "int8"
              ? productInTwoParts(g, g.mul(probabilities, blockScale), blockCodes, inverse)
              : g.mul(
                  g.matmul(probabilities, rowsAsFloats(g, probabilities, blockCodes, blockScale)),
                  inverse,
                ),
        };
      },
      rowsAt: (labels) => {
        const labelCodes = g.gather(q, labels);
        return g.mul(rowsAsFloats(g, h, labelCodes, g.gather(scale, labels)), inverse);
      },
    };
  };
}

/** x q · diag(inverse), x [R, N], q [N, D]: what 8 bits of x leave is multiplied in 8 bits of its own. */
function productInTwoParts(g: GraphBuilder, x: Value, q: Value, inverse: Value): Value {
  const [coarse, step] = quantiseByToken(g, x);
  // At most half a step remains: 127 of its 254th parts.
  const part = 1 / 254;
  const rest = g.sub(x, floatsByToken(g, coarse, step));
  const fine = codesByToken(g, rest, g.mul(step, part));
  const sum = g.add(
    integerProduct(g, coarse, q, inverse, false),
    integerProduct(g, fine, q, g.mul(inverse, part), false),
  );
  return g.mul(sum, step);
}
