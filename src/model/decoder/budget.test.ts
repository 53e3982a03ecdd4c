/** How many nodes a training step has: what a pass or a rule costs shows here first. Raise a number only with a reason. */
import { expect, test } from "vitest";
import { type Graph, optimize } from "../../compute/graph/index.ts";
import { evaluateNode } from "../../compute/runtime/index.ts";
import { parameterLayout } from "../nn/index.ts";
import { type LossGraphOptions, lossGraph } from "./loss-graph.ts";
import { specFromConfig } from "./model-spec-config.ts";
import { linearLayers } from "./model-spec-weights.ts";

/** SmolLM2-135M but for the number of layers. */
const spec = (layers: number) =>
  specFromConfig({
    model_type: "llama",
    architectures: ["LlamaForCausalLM"],
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: layers,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    rope_theta: 100000,
    tie_word_embeddings: true,
  });

function stepGraph(layers: number, changes: Partial<LossGraphOptions> = {}): Graph {
  const model = spec(layers);
  const rank = 16;
  const adapts = (path: string): boolean => /[qv]_proj$/.test(path);
  const paths = Array.from({ length: layers }, (_, layer) =>
    linearLayers(model).map(({ name, shape }) => ({ path: `model.layers.${layer}.${name}`, shape })),
  ).flat();
  const layout = parameterLayout(
    paths
      .filter(({ path }) => adapts(path))
      .flatMap(({ path, shape }) => [
        { name: `${path}.lora_A.weight`, shape: [rank, shape[1]!] },
        { name: `${path}.lora_B.weight`, shape: [shape[0]!, rank] },
      ]),
  );
  const graph = lossGraph(model, {
    layout,
    adapter: { rank, scale: 2, adapts },
    gradients: true,
    queryChunks: 1,
    lossChunks: 1,
    recompute: "none",
    ...changes,
  });
  return optimize(graph, evaluateNode);
}

const products = (graph: Graph): number => graph.nodes.filter(({ op }) => /MatMul/.test(op)).length;
const size = (graph: Graph) => ({ nodes: graph.nodes.length, products: products(graph) });

test("the training step of 2 layers, in its variants", () => {
  expect({
    merged: size(stepGraph(2)),
    dropout: size(stepGraph(2, { dropout: 0.1 })),
    recomputed: size(stepGraph(2, { recompute: "blocks" })),
    "2 query chunks, 4 loss chunks": size(stepGraph(2, { queryChunks: 2, lossChunks: 4 })),
    "loss alone": size(stepGraph(2, { gradients: false })),
  }).toMatchInlineSnapshot(`
    {
      "2 query chunks, 4 loss chunks": {
        "nodes": 477,
        "products": 77,
      },
      "dropout": {
        "nodes": 295,
        "products": 60,
      },
      "loss alone": {
        "nodes": 108,
        "products": 23,
      },
      "merged": {
        "nodes": 290,
        "products": 60,
      },
      "recomputed": {
        "nodes": 349,
        "products": 76,
      },
    }
  `);
});

test("a layer costs the same however many there are", () => {
  const [two, three, thirty] = [2, 3, 30].map((layers) => size(stepGraph(layers))) as [Sizes, Sizes, Sizes];
  const layer = { nodes: three.nodes - two.nodes, products: three.products - two.products };
  expect(layer).toMatchInlineSnapshot(`
    {
      "nodes": 141,
      "products": 32,
    }
  `);
  expect(thirty).toEqual({
    nodes: two.nodes + 28 * layer.nodes,
    products: two.products + 28 * layer.products,
  });
});

type Sizes = ReturnType<typeof size>;

test("the step by op", () => {
  const counts: Record<string, number> = {};
  for (const { op } of stepGraph(2).nodes) counts[op] = (counts[op] ?? 0) + 1;
  expect(Object.fromEntries(Object.entries(counts).sort())).toMatchInlineSnapshot(`
    {
      "Add": 22,
      "Barrier": 5,
      "Concat": 4,
      "FusedMatMul": 46,
      "Gather": 24,
      "Log": 1,
      "MatMul": 14,
      "Mul": 57,
      "Neg": 1,
      "QuickGelu": 2,
      "ReduceMax": 2,
      "ReduceMean": 4,
      "ReduceSum": 9,
      "Reshape": 62,
      "RotaryEmbedding": 7,
      "Sigmoid": 2,
      "SimplifiedLayerNormalization": 6,
      "Slice": 8,
      "Softmax": 3,
      "Sub": 11,
    }
  `);
});

test("no value has a row of the vocabulary for more than a chunk of the supervised tokens", () => {
  const { nodes } = stepGraph(2, { lossChunks: 4 });
  const wide = nodes
    .flatMap(({ outputs }) => outputs)
    .filter(({ shape }) => shape.length > 1 && shape.includes(49152))
    .map(({ shape }) => shape.join(" × "));
  // R is 4·Q: the chunks' logits and probabilities, and nothing of [T, V], [R, V] or [V, D].
  expect([...new Set(wide)]).toEqual(["Q × 49152"]);
});
