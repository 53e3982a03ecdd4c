/** What is computed again for the backward pass, and what is kept. */
import { describe, expect, test } from "vitest";
import { type GraphBuilder, type Value, optimize, recomputeCheap } from "../index.ts";
import { build, sameResults } from "./passes.testing.ts";

describe("recomputeCheap", () => {
  const norm = (g: GraphBuilder, x: Value): Value =>
    g.op("SimplifiedLayerNormalization", [x, g.input("scale", "float32", [4])], { axis: -1, epsilon: 1e-6 });

  test("a normalised input is computed again where the backward pass reads it, dropout and all", () => {
    let forward = 0;
    const graph = build((g) => {
      const x = g.mul(g.input("x", "float32", ["T", 4]), 2);
      const dropped = g.where(g.input("keep", "bool", ["T", 4]), norm(g, x), 0);
      const y = g.matmul(dropped, g.input("w", "float32", [4, 4]));
      forward = g.nodes.length;
      // As of a LoRA layer: a product with its own input, and one with x.
      const dy = g.mul(y, 3);
      return { y, da: g.matmul(dy, dropped, { transA: true }), dx: g.matmul(dy, x, { transA: true }) };
    });
    const after = sameResults(graph, (before) => optimize(recomputeCheap(before, forward)));
    const counts = (op: string): number => after.nodes.filter((node) => node.op === op).length;
    expect([counts("SimplifiedLayerNormalization"), counts("Where"), counts("Barrier")]).toEqual([2, 2, 1]);
    const product = after.nodes.find(({ outputs }) => outputs[0] === after.outputs.get("da"))!;
    const first = after.nodes.find(({ op }) => op === "Where")!;
    expect(product.inputs).not.toContain(first.outputs[0]);
  });

  test("what it stands on must be there anyway", () => {
    let forward = 0;
    const graph = build((g) => {
      const normed = norm(g, g.mul(g.input("x", "float32", ["T", 4]), 2));
      forward = g.nodes.length;
      return { da: g.matmul(g.mul(normed, 3), normed, { transA: true }) };
    });
    expect(recomputeCheap(graph, forward).nodes).toHaveLength(graph.nodes.length);
  });
});
