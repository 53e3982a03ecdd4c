/** Rotary position embedding: the tables a graph reads, and their use. */
import type { GraphBuilder, Value } from "../../compute/graph/index.ts";
import { type Tensor, float32 } from "../../compute/tensor/index.ts";

export interface RotaryTables {
  /** [P, E/2] float32 */
  readonly cos: Value;
  readonly sin: Value;
}

/** cos and sin of position · frequency for P positions; `frequencies` [E/2] radians a position. */
export function rotaryTables(
  frequencies: Float64Array,
  positions: number,
): { readonly cos: Tensor<"float32">; readonly sin: Tensor<"float32"> } {
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      // transformers forms the angle in float32; so do we, to agree at far positions.
      const angle = Math.fround(position * Math.fround(frequencies[i]!));
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos: float32([positions, half], cos), sin: float32([positions, half], sin) };
}

/** x [B, S, H·E], positions [B, S] → the same shape, each head rotated (halves, not pairs). */
export function rotate(
  g: GraphBuilder,
  x: Value,
  positions: Value,
  { cos, sin }: RotaryTables,
  heads: number,
): Value {
  return g.op("RotaryEmbedding", [x, positions, cos, sin], { interleaved: 0, num_heads: heads });
}
