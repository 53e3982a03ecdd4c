/** Inverted dropout with keep masks that are fed from outside, so that the host's counter decides them and a resume repeats them. */
import type { GraphBuilder, Shape, Value } from "../../compute/graph/index.ts";

export interface Dropout {
  /** x where its mask keeps it, else 0, not yet scaled. `name` and the shape of x name the mask; one name, one mask. */
  readonly keep: (g: GraphBuilder, name: string, x: Value) => Value;
  /** 1 / (1 − p): makes up for what is dropped. */
  readonly scale: number;
}

/** Masks arrive as bool inputs `prefix` + name. */
export function maskedDropout(probability: number, prefix: string): Dropout {
  const masks = new Map<string, Value>();
  const maskOf = (g: GraphBuilder, name: string, shape: Shape): Value => {
    const mask = masks.get(name) ?? g.input(`${prefix}${name}`, "bool", shape);
    // A recomputed block asks again for the mask of its first time.
    masks.set(name, mask);
    return mask;
  };
  return {
    keep: (g, name, x) => g.where(maskOf(g, name, x.shape), x, 0),
    scale: 1 / (1 - probability),
  };
}
