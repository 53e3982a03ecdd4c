/** Work of small graphs, counted by hand. */
import { expect, test } from "vitest";
import { GraphBuilder, workCounter } from "./index.ts";

const sizes = new Map([
  ["T", 10],
  ["B", 2],
  ["S", 5],
]);

test("a linear layer and a factor: 2 operations a multiply-add, and the bytes of every operand", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["T", 4]);
  const y = g.matmul(x, g.input("w", "float32", [6, 4]), { transB: true });
  g.output("z", g.mul(g.reshape(y, ["T", 2, 3]), g.input("s", "float32", [3])));
  const work = workCounter(g.build())(sizes);
  expect(work.operations).toEqual({ matrix: 2 * 10 * 4 * 6, heads: 0, integer: 0, blocks: 0 });
  // The product reads 40 and 24 floats and writes 60; the view moves nothing; Mul reads 60 and 3 and writes 60.
  expect(work.bytes).toBe(4 * (40 + 24 + 60) + 4 * (60 + 3 + 60));
});

test("attention's products count apart, transposed operands by the axis that is summed", () => {
  const g = new GraphBuilder();
  const q = g.input("q", "float32", ["B", 3, "S", 8]);
  const k = g.input("k", "float32", ["B", 3, "S", 8]);
  const scores = g.matmul(q, k, { transB: true });
  g.output("dk", g.matmul(scores, q, { transA: true }));
  const { operations } = workCounter(g.build())(sizes);
  expect(operations.heads).toBe(2 * (2 * 3 * 5 * 5 * 8) + 2 * (2 * 3 * 5 * 8 * 5));
});

test("a gather reads what it picks, not the whole table; equal nodes count as often as they stand there", () => {
  const g = new GraphBuilder();
  const table = g.input("table", "float32", [1000, 4]);
  const ids = g.input("ids", "int64", ["T"]);
  const again = g.input("again", "int64", ["T"]);
  g.output("sum", g.add(g.gather(table, ids), g.gather(table, again)));
  const { bytes, nodes } = workCounter(g.build())(sizes);
  const gather = 10 * 8 + 2 * 160;
  expect(bytes).toBe(2 * gather + 3 * 160);
  expect(nodes).toBe(3);
});
