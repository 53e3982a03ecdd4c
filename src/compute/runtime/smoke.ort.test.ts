import { expect, test } from "vitest";
import { GraphBuilder, onnxRuntime, float32 } from "../index.ts";
test("x", async () => {
  await using rt = await onnxRuntime();
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["B", 2]);
  g.output("y", g.add(x, 1));
  await using p = await rt.compile(g.build());
  expect([...(await p.run({ x: float32([1, 2], [1, 2]) })).outputs.y!.data]).toEqual([2, 3]);
});
