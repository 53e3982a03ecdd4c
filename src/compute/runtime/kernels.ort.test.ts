/** Nodes timed by themselves: whatever a step has can be, with operands that it accepts. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Graph, GraphBuilder } from "../graph/index.ts";
import { tensor } from "../tensor/index.ts";
import { type Runtime, onnxRuntime, smallNumbers, timeNode } from "./index.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

const sizes = new Map([["T", 5]]);
const graphs: Readonly<Record<string, (g: GraphBuilder) => void>> = {
  "a product with open sizes": (g) =>
    void g.output(
      "y",
      g.matmul(g.input("x", "float32", ["T", 8]), g.input("w", "float32", [4, 8]), { transB: true }),
    ),
  "a gather, whose indices must be in range": (g) =>
    void g.output("y", g.gather(g.input("table", "float32", [3, 4]), g.input("ids", "int64", ["T"]))),
  "one operand twice": (g) => {
    const x = g.input("x", "float32", ["T", 4]);
    g.output("y", g.mul(x, x));
  },
  "operands that are constants": (g) =>
    void g.output(
      "y",
      g.op(
        "QGemm",
        [
          g.input("x", "uint8", ["T", 4]),
          g.constant(tensor("float32", [], Float32Array.of(1))),
          g.constant(tensor("uint8", [], Uint8Array.of(128))),
          g.input("q", "int8", [6, 4]),
          g.input("scale", "float32", [6]),
          g.constant(tensor("int8", [6], new Int8Array(6))),
        ],
        { transA: 0, transB: 1, alpha: 1 },
      ),
    ),
};

test.each(Object.entries(graphs))("%s", async (_, build) => {
  const g = new GraphBuilder();
  build(g);
  const graph: Graph = g.build();
  const seconds = await timeNode(runtime, graph, graph.nodes.at(-1)!, sizes);
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThan(Number.POSITIVE_INFINITY);
});

test("operands are small, of both signs and never subnormal; whole numbers may be indices", () => {
  const { data } = smallNumbers({ dtype: "float32", shape: [1000] });
  const values = Array.from(data as Float32Array);
  expect(Math.max(...values)).toBeLessThan(0.2);
  expect(Math.min(...values)).toBeGreaterThan(-0.2);
  expect(Math.min(...values.map(Math.abs))).toBeGreaterThan(1e-3);
  expect(new Set(values).size).toBe(13);
  expect(smallNumbers({ dtype: "int64", shape: [2] }).data).toEqual(BigInt64Array.of(0n, 0n));
});
