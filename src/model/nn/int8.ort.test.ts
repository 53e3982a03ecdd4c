import { expect, test } from "vitest";
import { gradients } from "../../compute/autodiff/index.ts";
import { GraphBuilder } from "../../compute/graph/index.ts";
import { onnxRuntime } from "../../compute/runtime/index.ts";
import { float32, tensor } from "../../compute/tensor/index.ts";
import { int8Linear, inputWeights, scope } from "./index.ts";

test("a token of zeros stays one, forward and backward, between others and alone", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["T", 4]);
  const y = int8Linear(scope(g, inputWeights(g), "block").at("layer"), x, 3);
  const ct = g.input("ct", "float32", ["T", 3]);
  const [dx] = gradients(g, g.sum(g.mul(y, ct), [0, 1]), [x]);
  g.output("y", y);
  g.output("dx", dx!);
  const runtime = await onnxRuntime({ threads: 1 });
  try {
    const program = await runtime.compile(g.build(), { name: "zeros" });
    const weights = {
      "block.layer.weight.int8": tensor(
        "int8",
        [3, 4],
        Int8Array.of(127, -3, 5, 0, 9, 127, -64, 1, -127, 2, 3, 4),
      ),
      "block.layer.weight.scale": float32([3], [0.01, 0.02, 0.03]),
      "block.layer.smoothing": float32([4], [1, 2, 0.5, 1]),
    };
    const rows = [
      [1, -2, 3, 0.5],
      [0, 0, 0, 0],
    ];
    const cotangents = [
      [0, 0, 0],
      [1, -1, 2],
    ];
    for (const chosen of [[0, 1], [1]]) {
      const { outputs } = await program.run({
        x: float32(
          [chosen.length, 4],
          chosen.flatMap((row) => rows[row]!),
        ),
        ct: float32(
          [chosen.length, 3],
          chosen.flatMap((row) => cotangents[row]!),
        ),
        ...weights,
      });
      const of = (name: string, width: number, row: number): number[] =>
        Array.from(outputs[name]!.data as Float32Array).slice(row * width, (row + 1) * width);
      expect(of("y", 3, chosen.indexOf(1)).map(Math.abs)).toEqual([0, 0, 0]);
      expect(of("dx", 4, chosen.indexOf(1)).every((value) => Number.isFinite(value) && value !== 0)).toBe(
        true,
      );
      if (!chosen.includes(0)) continue;
      expect(of("y", 3, 0).every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
      expect(of("dx", 4, 0).map(Math.abs)).toEqual([0, 0, 0, 0]);
    }
  } finally {
    await runtime[Symbol.asyncDispose]();
  }
});
