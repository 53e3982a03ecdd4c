/** AdamW with global-norm clipping, as one graph over flat vectors. */
import { type Graph, GraphBuilder, type Value } from "../graph/index.ts";
import { squaredNorm } from "./squared-norm.ts";

/** What decides AdamW's update; the learning rate of a step is fed to it. */
export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export const adamWDefaults: AdamWOptions = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

export interface AdamWGraphOptions {
  /** N, where it is known: the norm of a long gradient is then summed with less rounding. */
  readonly size?: number;
  /** The learning rate is multiplied by `rateFactors` [N], and with it the decay. */
  readonly rateFactors?: boolean;
  /** Only elements where `decayed` (bool [N]) is true decay. */
  readonly decayed?: boolean;
  /** A gradient with an element that is not finite leaves parameters and moments as they were, and its norm is NaN. */
  readonly guarded?: boolean;
}

/**
 * One update (Loshchilov and Hutter, 2019; bias correction and clipping as PyTorch computes them).
 *
 * Inputs, all float32: `parameters`, `gradient`, `firstMoment`, `secondMoment` [N]; `rateFactors` [N]
 * and `decayed` (bool [N]) where asked for; scalars `rate` and `decay` (learning rate, and learning rate · weight decay),
 * `gradientScale` (multiplies the gradient before anything else), `maxNorm` (+∞ turns clipping off),
 * `correction1` = 1 − β1ᵗ and `correction2` = √(1 − β2ᵗ).
 * Outputs: `nextParameters`, `nextFirstMoment`, `nextSecondMoment` [N] and the scalar `gradientNorm` before clipping.
 */
export function adamWGraph(
  options: AdamWOptions = adamWDefaults,
  { size, rateFactors = false, decayed: chosen = false, guarded = false }: AdamWGraphOptions = {},
): Graph {
  const g = new GraphBuilder();
  const vector = (name: string) => g.input(name, "float32", [size ?? "N"]);
  const number = (name: string) => g.input(name, "float32", []);
  const parameters = vector("parameters");
  const gradient = g.mul(vector("gradient"), number("gradientScale"));
  const firstMoment = vector("firstMoment");
  const secondMoment = vector("secondMoment");
  const factors = rateFactors ? vector("rateFactors") : undefined;
  const faster = (value: Value): Value => (factors === undefined ? value : g.mul(value, factors));
  const rate = faster(number("rate"));
  const everywhere = faster(number("decay"));
  const decay = chosen ? g.where(g.input("decayed", "bool", [size ?? "N"]), everywhere, 0) : everywhere;

  const norm = g.sqrt(
    size === undefined ? g.sum(g.mul(gradient, gradient), [0]) : squaredNorm(g, gradient, size),
  );
  const clip = g.min(1, g.div(number("maxNorm"), g.add(norm, 1e-6)));
  const clipped = g.mul(gradient, clip);
  const m = g.add(g.mul(firstMoment, options.beta1), g.mul(clipped, 1 - options.beta1));
  const v = g.add(g.mul(secondMoment, options.beta2), g.mul(g.mul(clipped, clipped), 1 - options.beta2));
  const denominator = g.add(g.div(g.sqrt(v), number("correction2")), options.epsilon);
  const step = g.div(g.mul(g.div(rate, number("correction1")), m), denominator);
  const decayed = g.mul(parameters, g.sub(1, decay));

  // 0 · x is 0 unless x is infinite or NaN.
  const finite = guarded ? g.op("Equal", [g.sum(g.mul(gradient, 0), [0]), g.lift(0)], {}) : undefined;
  const kept = (next: Value, old: Value | number): Value =>
    finite === undefined ? next : g.where(finite, next, old);
  g.output("nextParameters", kept(g.sub(decayed, step), parameters));
  g.output("nextFirstMoment", kept(m, firstMoment));
  g.output("nextSecondMoment", kept(v, secondMoment));
  g.output("gradientNorm", kept(norm, Number.NaN));
  return g.build();
}
