/** For tests of passes: graphs are built, and results before and after a pass compared. */
import { expect } from "vitest";
import { random } from "../../../util/index.ts";
import { interpret, widen } from "../../runtime/index.ts";
import { type Tensor, zeros } from "../../tensor/index.ts";
import { type Graph, GraphBuilder, type Pass, type Value } from "../index.ts";

/** Random feeds; every symbol is 3. */
function feedsOf(graph: Graph): Record<string, Tensor> {
  const stream = random(7, "feeds");
  return Object.fromEntries(
    graph.inputs.map(({ name, dtype, shape }) => {
      const filled = zeros(
        dtype,
        shape.map((dim) => (typeof dim === "number" ? dim : 3)),
      );
      for (let i = 0; i < filled.data.length; i++) filled.data[i] = stream.normal() as never;
      return [name, filled];
    }),
  );
}

/** Fails where the pass changes a result; returns the graph after it. */
export function sameResults(graph: Graph, pass: Pass): Graph {
  const after = pass(graph);
  const feeds = Object.fromEntries(Object.entries(feedsOf(graph)).map(([name, x]) => [name, widen(x)]));
  const want = interpret(graph, feeds);
  const got = interpret(after, feeds);
  expect(Object.keys(got)).toEqual(Object.keys(want));
  for (const [name, { shape, data }] of Object.entries(want)) {
    expect(got[name]!.shape).toEqual(shape);
    for (const [i, value] of data.entries()) expect(got[name]!.data[i]).toBeCloseTo(value, 6);
  }
  return after;
}

export function build(make: (g: GraphBuilder) => Record<string, Value>): Graph {
  const builder = new GraphBuilder();
  for (const [name, value] of Object.entries(make(builder))) builder.output(name, value);
  return builder.build();
}
