/** The keep masks that a training graph asks for, and their shapes for a batch. */
import type { ParameterLayout } from "../nn/index.ts";
import type { FlatBatch } from "./flat-batch.ts";
import { attentionPrefix, dropoutPrefix, readsSelected, residualPrefix } from "./loss-graph.ts";
import type { ModelSpec } from "./model-spec.ts";

export type MaskShapes = ReadonlyMap<string, readonly number[]>;

export interface DropoutMaskShapes {
  /** Of LoRA's inputs [T, I], by input of the graph. */
  readonly lora: MaskShapes;
  /** Of what attention and MLP add, [T, D]. */
  readonly residual: MaskShapes;
  /** Of the probabilities of a query chunk, [B, K, H/K, C, keys]. */
  readonly attention: MaskShapes;
}

/**
 * In the order of `inputs`, the names of the graph's inputs; `sequences` is B. Where the last block reads the R selected
 * tokens alone, R stands for T.
 */
export function dropoutMaskShapes(
  inputs: readonly string[],
  spec: ModelSpec,
  layout: ParameterLayout,
  batch: Pick<FlatBatch, "tokens" | "rows" | "longest">,
  { sequences, queryChunks }: { readonly sequences: number; readonly queryChunks: number },
): DropoutMaskShapes {
  const widths = new Map(layout.entries.map(({ name, shape }) => [name, shape.at(-1)!]));
  const rowsAt = (path: string): number => (readsSelected(spec, path) ? batch.rows : batch.tokens);
  const chunk = batch.longest / queryChunks;
  const shapesOf = (prefix: string, shape: (name: string) => readonly number[]): MaskShapes =>
    new Map(
      inputs
        .filter((input) => input.startsWith(prefix))
        .map((input) => [input, shape(input.slice(prefix.length))]),
    );
  return {
    lora: shapesOf(dropoutPrefix, (path) => [rowsAt(path), widths.get(`${path}.lora_A.weight`)!]),
    residual: shapesOf(residualPrefix, (path) => [rowsAt(path), spec.hiddenSize]),
    attention: shapesOf(attentionPrefix, (name) => {
      const index = Number(name.slice(name.lastIndexOf(".") + 1));
      return [sequences, spec.kvHeads, spec.heads / spec.kvHeads, chunk, (index + 1) * chunk];
    }),
  };
}
