/** Where in the model a layer stands, and where its weights come from. */
import type { GraphBuilder, Shape, Value } from "../../compute/graph/index.ts";

/** Gives the value of a weight by its checkpoint name: a graph input, a constant, a slice of the trainable vector. */
export type WeightSource = (name: string, shape: Shape) => Value;

export interface Scope {
  readonly g: GraphBuilder;
  /** The checkpoint's name of this place, such as `model.layers.3.self_attn.q_proj`. */
  readonly path: string;
  /** The scope of a part. */
  at(part: string | number): Scope;
  /** The weight `path.name`. */
  weight(name: string, shape: Shape): Value;
}

export function scope(g: GraphBuilder, weights: WeightSource, path = ""): Scope {
  const join = (name: string | number): string => (path === "" ? String(name) : `${path}.${name}`);
  return {
    g,
    path,
    at: (part) => scope(g, weights, join(part)),
    weight: (name, shape) => weights(join(name), shape),
  };
}

/** Weights as float32 graph inputs under their own names, each declared once. */
export function inputWeights(g: GraphBuilder): WeightSource {
  const known = new Map<string, Value>();
  return (name, shape) => {
    const value = known.get(name) ?? g.input(name, "float32", shape);
    known.set(name, value);
    return value;
  };
}
