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
        "nodes": 1056,
        "products": 133,
      },
      "dropout": {
        "nodes": 440,
        "products": 74,
      },
      "loss alone": {
        "nodes": 205,
        "products": 30,
      },
      "merged": {
        "nodes": 433,
        "products": 74,
      },
      "recomputed": {
        "nodes": 496,
        "products": 90,
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
      "Add": 37,
      "Barrier": 33,
      "Concat": 4,
      "Div": 16,
      "Exp": 8,
      "FusedMatMul": 53,
      "Gather": 24,
      "Log": 1,
      "MatMul": 21,
      "Max": 7,
      "Mul": 67,
      "Neg": 1,
      "ReduceMax": 16,
      "ReduceMean": 4,
      "ReduceSum": 9,
      "Reshape": 73,
      "RotaryEmbedding": 7,
      "Sigmoid": 2,
      "SimplifiedLayerNormalization": 6,
      "Slice": 16,
      "Softmax": 10,
      "Sub": 18,
    }
  `);
});

test("no value has a row of the whole vocabulary for any token, nor are two blocks of the table in memory", () => {
  const { nodes } = stepGraph(2);
  const made = nodes.filter(({ op }) => op !== "Barrier").flatMap(({ outputs }) => outputs);
  const shapesWith = (size: number): string[] => [
    ...new Set(
      made.filter(({ shape }) => shape.length > 1 && shape.includes(size)).map((x) => x.shape.join(" × ")),
    ),
  ];
  expect(shapesWith(49152)).toEqual([]);
  expect(shapesWith(6176)).toEqual(["6176 × 576", "R × 6176"]);
  // Each block's rows wait for what was made of the block before.
  const slices = nodes.filter(({ op, outputs: [y] }) => op === "Slice" && y!.shape.join() === "6176,576");
  expect(slices).toHaveLength(7);
  for (const { inputs } of slices)
    expect(nodes.find(({ outputs }) => outputs[0] === inputs[0])!.op).toBe("Barrier");
});
