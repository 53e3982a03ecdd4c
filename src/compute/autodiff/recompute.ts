/** Activation checkpointing: a stretch of the forward pass is computed again in the backward pass. */
import type { GraphBuilder, Value } from "../graph/index.ts";
import { vjp } from "./gradients.ts";

/**
 * Runs `forward(inputs)`; its inner values are not kept for the backward pass but computed again from
 * `inputs` behind a barrier (Chen et al., 2016). `parameters` are the values `forward` closes over that
 * need gradients; they are kept anyway and stand behind no barrier.
 */
export function recompute(
  g: GraphBuilder,
  inputs: readonly Value[],
  parameters: readonly Value[],
  forward: (inputs: readonly Value[]) => readonly Value[],
): readonly Value[] {
  return g.custom(
    [...inputs, ...parameters],
    () => forward(inputs),
    (cotangents) => {
      const token = cotangents.find((cotangent) => cotangent !== undefined)!;
      const from = g.nodes.length;
      const again = inputs.map((input) => g.barrier(input, token));
      const outputs = forward(again);
      return vjp(g, outputs, cotangents, [...again, ...parameters], from);
    },
  );
}
