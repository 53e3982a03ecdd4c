import { expect, test } from "vitest";
import { interpret, widen } from "../../runtime/index.ts";
import { type Tensor, float32 } from "../../tensor/index.ts";
import { printGraph, viewRows } from "../index.ts";
import { build } from "./passes.testing.ts";

test("rows become inputs, each once, and barriers before them stay", () => {
  const graph = build((g) => {
    const table = g.input("table", "float32", [6, 2]);
    const token = g.input("token", "float32", ["T"]);
    const early = g.slice(table, 0, 1, 3);
    const waited = g.exp(token);
    const late = g.slice(g.barrier(table, waited), -2, -5, 3);
    return { y: g.add(early, late), z: g.sum(g.slice(table, 0, 3), [0]), all: g.neg(table), waited };
  });
  const { graph: fed, views } = viewRows(graph);
  expect(printGraph(fed)).toMatchInlineSnapshot(`
    "input table: float32[6, 2]
    input token: float32[T]
    input table[1:3]: float32[2, 2]
    input table[3:6]: float32[3, 2]
    Exp_1: float32[T] = Exp(token)
    Slice_3: float32[2, 2] = Barrier(table[1:3], Exp_1)
    Add_4: float32[2, 2] = Add(table[1:3], Slice_3)
    ReduceSum_6: float32[2] = ReduceSum(table[3:6], axes=[0], keepdims=0)
    Neg_7: float32[6, 2] = Neg(table)
    output y = Add_4
    output z = ReduceSum_6
    output all = Neg_7
    output waited = Exp_1"
  `);
  expect(views).toEqual([
    { name: "table[1:3]", of: "table", from: 1, to: 3 },
    { name: "table[3:6]", of: "table", from: 3, to: 6 },
  ]);
  const table = float32([6, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  const feeds: Record<string, Tensor> = { table, token: float32([1], [0]) };
  const rows = views.map(({ name, from, to }) => [
    name,
    float32([to - from, 2], table.data.slice(2 * from, 2 * to)),
  ]);
  const wide = (all: Record<string, Tensor>) =>
    Object.fromEntries(Object.entries(all).map(([name, x]) => [name, widen(x)]));
  expect(interpret(fed, wide({ ...feeds, ...Object.fromEntries(rows) }))).toEqual(
    interpret(graph, wide(feeds)),
  );
});

test("columns, rows of no fixed number, results and outputs stay slices", () => {
  const graph = build((g) => {
    const x = g.input("x", "float32", [4, 4]);
    const open = g.input("open", "float32", ["T", 4]);
    return {
      columns: g.neg(g.slice(x, 1, 0, 2)),
      open: g.neg(g.slice(open, 0, 0, 1)),
      result: g.neg(g.slice(g.exp(x), 0, 0, 2)),
      itself: g.slice(x, 0, 0, 2),
    };
  });
  expect(viewRows(graph)).toEqual({ graph, views: [] });
});
