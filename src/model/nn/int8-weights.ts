/** How float weights come into 8 bits, as a graph: inputs are smoothed, weights quantised by row. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import { tensor } from "../../compute/tensor/index.ts";
import { type ChannelLevel, calibrating, smoothingName } from "./int8.ts";
import { type Linear, linear } from "./linear.ts";

/** An input of one or more linear layers. */
interface ReadInput {
  /** How loud each channel is, [I]. */
  readonly loud: Value;
  /** The weights [O, I] that read it, by name. */
  readonly weights: Map<string, Value>;
}

/** Has `build` append layers in float32, and gives what those hold in 8 bits as outputs: see `outputInt8`. */
export function outputsInt8(g: GraphBuilder, level: ChannelLevel, build: (linear: Linear) => void): void {
  const inputs = new Map<string, ReadInput>();
  const observed = calibrating(linear, level, (name, loud) => inputs.set(name, { loud, weights: new Map() }));
  build((scope, x, outWidth, bias) => {
    const y = observed(scope, x, outWidth, bias);
    const weight = scope.weight("weight", [outWidth, x.shape.at(-1)!]);
    inputs.get(smoothingName(scope.path))!.weights.set(`${scope.path}.weight`, weight);
    return y;
  });
  for (const [name, { loud, weights }] of inputs) outputInt8(g, name, loud, weights);
}

/**
 * Of weights W [O, I] that read one input: 1/s [I] as output `smoothing`, and of each the codes [O, I] and scales [O] as outputs
 * `.int8` and `.scale` of its name, W ≈ diag(scale) · codes · diag(1/s).
 */
export function outputInt8(
  g: GraphBuilder,
  smoothing: string,
  loud: Value,
  weights: ReadonlyMap<string, Value>,
): void {
  const parts = new Map([...weights].map(([name, weight]) => [name, stretchesOf(g, weight)]));
  const s = smoothingOf(g, loud, [...parts.values()].flat());
  g.output(smoothing, g.reciprocal(s));
  for (const [name, stretches] of parts) {
    const quantised = stretches.map((weight) => rowCodes(g, g.mul(weight, s)));
    const joined = (pieces: readonly Value[]): Value =>
      pieces.length === 1 ? pieces[0]! : g.concat(pieces, 0);
    g.output(`${name}.int8`, joined(quantised.map(({ codes }) => codes)));
    g.output(`${name}.scale`, joined(quantised.map(({ scale }) => scale)));
  }
}

/** What is computed of a long table is formed for so many rows at a time: no copy of it is whole in memory. */
const rowsAtOnce = 4096;

function stretchesOf(g: GraphBuilder, weight: Value): readonly Value[] {
  const rows = weight.shape[0] as number;
  if (rows <= rowsAtOnce) return [weight];
  return Array.from({ length: Math.ceil(rows / rowsAtOnce) }, (_, i) =>
    g.slice(weight, 0, i * rowsAtOnce, Math.min(rows, (i + 1) * rowsAtOnce)),
  );
}

/** Symmetric quantisation of each row of w [O, I]. */
function rowCodes(g: GraphBuilder, w: Value): { readonly codes: Value; readonly scale: Value } {
  const most = g.max(g.reduceMax(w, [1]), g.neg(g.reduceMin(w, [1])));
  // A weight that is no number is no code either: its row says so.
  const scale = g.add(g.div(g.max(most, 1e-12), 127), g.mul(g.sum(w, [1]), 0));
  const rows = w.shape[0] as number;
  const zeros = g.constant(tensor("int8", [rows], new Int8Array(rows)));
  return { codes: g.op("QuantizeLinear", [w, scale, zeros], { axis: 0 }), scale };
}

/**
 * s = √(x / w) of each input channel's levels; 1 where a channel is silent. SmoothQuant (Xiao et al., 2023) takes the largest
 * magnitudes. Of the errors' power ‖x/s‖² ‖w s‖², were steps as long as vectors, root mean squares give the least (by
 * Cauchy and Schwarz); a token's step is as long as its peak, so its channels are measured by a mean of higher degree.
 */
function smoothingOf(g: GraphBuilder, loud: Value, weights: readonly Value[]): Value {
  const rows = weights.reduce((sum, { shape }) => sum + (shape[0] as number), 0);
  const squares = weights.map((weight) => g.sum(g.mul(weight, weight), [0])).reduce(g.add);
  const s = g.sqrt(g.div(loud, g.sqrt(g.mul(squares, 1 / rows))));
  return g.where(g.less(s, 3e38), g.where(g.greater(s, 1e-6), s, 1), 1);
}
