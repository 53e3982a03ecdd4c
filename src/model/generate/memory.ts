/** How much memory generation takes beside the weights, counted from its graphs. */
import { type Graph, optimize } from "../../compute/graph/index.ts";
import { bufferEvents, evaluateNode, liveBytes } from "../../compute/runtime/index.ts";
import { type ModelSpec, noAdapter } from "../decoder/index.ts";
import type { EngineSize } from "./engine.ts";
import { cacheWidth, generationGraph } from "./graph.ts";

export interface GenerationMemory {
  /** Key-value caches, and what the largest calls form on the way; a session keeps what it took. */
  readonly bytes: number;
  /** Of both graphs. */
  readonly nodes: number;
}

/**
 * Of `slots` replies to prompts of `promptTokens`. Every layer is like the second one, so two layers are counted and the
 * rest is theirs.
 */
export function generationMemory(
  spec: ModelSpec,
  { slots, capacity, promptTokens }: EngineSize & { readonly promptTokens: number },
): GenerationMemory {
  const { layers, heads, kvHeads } = spec;
  const caches = 2 * layers * slots * kvHeads * capacity * cacheWidth(spec) * 4;
  const prompt = countedBy(spec, false, { slots, fresh: promptTokens, past: 1 });
  const token = countedBy(spec, true, { slots, fresh: 1, past: capacity });
  // Scores of a layer's attention live inside its kernel, where no graph shows them.
  const scores = slots * heads * promptTokens * promptTokens * 4;
  return { bytes: caches + prompt.bytes + scores + token.bytes, nodes: prompt.nodes + token.nodes };
}

interface Call {
  readonly slots: number;
  readonly fresh: number;
  readonly past: number;
}

function countedBy(spec: ModelSpec, fewTokens: boolean, { slots, fresh, past }: Call): GenerationMemory {
  const sizes = new Map([
    ["B", slots],
    ["S", fresh],
    ["P", past],
    ["Z", past + fresh],
  ]);
  const [one, two] = [1, 2].map((layers) => {
    const few: ModelSpec = { ...spec, layers, layerAttention: spec.layerAttention.slice(0, layers) };
    const graph: Graph = optimize(generationGraph(few, { ...noAdapter, fewTokens }), evaluateNode);
    return { bytes: liveBytes(bufferEvents(graph, sizes)), nodes: graph.nodes.length };
  }) as [GenerationMemory, GenerationMemory];
  const all = (part: keyof GenerationMemory): number =>
    one[part] + Math.max(0, two[part] - one[part]) * (spec.layers - 1);
  return { bytes: all("bytes"), nodes: all("nodes") };
}
