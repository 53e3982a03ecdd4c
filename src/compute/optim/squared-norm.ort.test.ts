/** The norm of a long vector keeps its digits, whatever its length. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { GraphBuilder } from "../graph/index.ts";
import { type Runtime, onnxRuntime } from "../runtime/index.ts";
import { float32 } from "../tensor/index.ts";
import { squaredNorm } from "./squared-norm.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

async function normOf(values: Float32Array): Promise<number> {
  const g = new GraphBuilder();
  g.output("norm", squaredNorm(g, g.input("x", "float32", [values.length]), values.length));
  await using program = await runtime.compile(g.build());
  const { outputs } = await program.run({ x: float32([values.length], values) });
  return (outputs["norm"]!.data as Float32Array)[0]!;
}

test.each([1, 6, 97, 4096])("%i elements", async (size) => {
  const values = Float32Array.from({ length: size }, (_, i) => Math.sin(i + 1));
  const exact = values.reduce((sum, value) => sum + value * value, 0);
  expect(Math.abs((await normOf(values)) / exact - 1)).toBeLessThan(1e-6);
});

test("sixteen million equal elements: one sum of them would stop growing", async () => {
  const size = 2 ** 24;
  const value = Math.fround(0.1);
  expect(
    Math.abs((await normOf(new Float32Array(size).fill(value))) / (size * value * value) - 1),
  ).toBeLessThan(1e-5);
});
