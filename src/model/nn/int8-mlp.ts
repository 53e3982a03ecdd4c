/** The gated feed-forward layer over an 8-bit frozen base, as one stretch with a gradient of its own. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import { type Int8Layer, int8Layer, integerProduct, quantiseByToken, rowsAsFloats } from "./int8.ts";
import { type FeedForward, type GatedProduct, gatedProduct } from "./mlp.ts";

/**
 * down(silu(gate(x)) ⊙ up(x)) of three layers as `int8Linear` has them, frozen and without biases. What the up layer's
 * result and the gradient of the product are to be multiplied by, for a token or a channel, is not: codes by token are the same
 * for all multiples of a token, so its factors join the next product's, and a channel's factor goes into the scales of
 * the product before. Saves four passes over [T, F].
 * The layer is the sum of its pieces along F: see `piecesOf`.
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
    const pieces = piecesOf(g, gate, up, down);
    const gated: GatedProduct[] = [];
    let xStep: Value;
    const [y] = g.custom(
      [x],
      () => {
        const [codes, step] = quantiseByToken(g, g.mul(x, gate.inverse));
        xStep = step;
        const parts = pieces.map((piece, i) => {
          const a = g.mul(integerProduct(g, codes, piece.gate.codes, piece.gate.scale, true), xStep);
          const b = integerProduct(g, codes, piece.up.codes, piece.up.scale, true);
          gated[i] = gatedProduct(g, a, b);
          const { product } = gated[i]!;
          const columns = piece.down(product);
          if (floatDown(downScope.path)) {
            const rows = rowsAsFloats(g, product, columns, down.scale);
            return g.mul(g.matmul(product, rows, { transB: true }), xStep);
          }
          const [productCodes, own] = quantiseByToken(g, product);
          return g.mul(integerProduct(g, productCodes, columns, down.scale, true), g.mul(own, xStep));
        });
        return [parts.reduce(g.add)];
      },
      ([dy]) => {
        const [codes, yStep] = quantiseByToken(g, g.mul(dy!, down.scale));
        const back = (dCodes: Value, { codes }: InRows, step: Value): Value => {
          const [dxCodes, own] = quantiseByToken(g, dCodes);
          return g.mul(integerProduct(g, dxCodes, codes, gate.inverse, false), g.mul(own, step));
        };
        const parts = pieces.flatMap(({ gate, up, down }, i) => {
          const { silu, slope } = gated[i]!;
          const ct = integerProduct(g, codes, down(dy!), up.scale, false);
          const dGate = g.mul(g.mul(ct, slope), g.div(gate.scale, up.scale));
          return [back(g.mul(ct, silu), up, yStep), back(dGate, gate, g.mul(yStep, xStep))];
        });
        return [parts.reduce(g.add)];
      },
    );
    return y!;
  };

/** Some rows of a layer: codes [F/P, D] and scales [F/P]. */
type InRows = Pick<Int8Layer, "codes" | "scale">;

interface Piece {
  readonly gate: InRows;
  /** The scales are those of up(x) / s, s being the smoothing of what `down` reads. */
  readonly up: InRows;
  /** The columns [D, F/P] that read this piece, not before `token` exists: they are a copy. */
  readonly down: (token: Value) => Value;
}

/**
 * Each piece of a token has steps of its own: a step is as long as the largest of its channels, and the products of a gated layer are
 * where 8 bits lose most. Two are as fast as one, and take a tenth of the forward error (dev/LOG.md).
 */
const pieceCount = 2;

function piecesOf(g: GraphBuilder, gate: Int8Layer, up: Int8Layer, down: Int8Layer): readonly Piece[] {
  const width = down.codes.shape[1] as number;
  return Array.from({ length: pieceCount }, (_, i) => {
    const [from, to] = [i, i + 1].map((at) => Math.floor((at * width) / pieceCount)) as [number, number];
    const piece = (of: Value): Value => g.slice(of, 0, from, to);
    return {
      gate: { codes: piece(gate.codes), scale: piece(gate.scale) },
      up: { codes: piece(up.codes), scale: g.mul(piece(up.scale), piece(down.inverse)) },
      down: (token) => g.slice(g.barrier(down.codes, token), 1, from, to),
    };
  });
}
