/** Where in the model a layer stands, and where its weights come from. */
import type { GraphBuilder, Shape, Value } from "../../compute/graph/index.ts";
import type { DType } from "../../compute/tensor/index.ts";

/** Gives the value of a weight by its checkpoint name: a graph input, a constant, a slice of the trainable vector. */
export type WeightSource = (name: string, shape: Shape, dtype?: DType) => Value;

export interface Scope {
  readonly g: GraphBuilder;
  /** The checkpoint's name of this place, such as `model.layers.3.self_attn.q_proj`. */
  readonly path: string;
  /** The scope of a part. */
  at(part: string | number): Scope;
  /** The weight `path.name`; float32 unless said. */
  weight(name: string, shape: Shape, dtype?: DType): Value;
  /** The scope that this one is a part of. */
  readonly parent: Scope | undefined;
}

export function scope(g: GraphBuilder, weights: WeightSource, path = "", parent?: Scope): Scope {
  const join = (name: string | number): string => (path === "" ? String(name) : `${path}.${name}`);
  const self: Scope = {
    g,
    path,
    parent,
    at: (part) => scope(g, weights, join(part), self),
    weight: (name, shape, dtype) => weights(join(name), shape, dtype),
  };
  return self;
}

/** Weights as graph inputs under their own names, each declared once. */
export function inputWeights(g: GraphBuilder): WeightSource {
  const known = new Map<string, Value>();
  return (name, shape, dtype = "float32") => {
    const value = known.get(name) ?? g.input(name, dtype, shape);
    known.set(name, value);
    return value;
  };
}
