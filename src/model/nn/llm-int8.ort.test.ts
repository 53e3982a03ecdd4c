/** LLM.int8() against bitsandbytes' own figures: the weight's codes, the product with loud channels, the backward one. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { GraphBuilder, gradients } from "../../compute/index.ts";
import { onnxRuntime } from "../../compute/runtime/index.ts";
import { float32, int64, tensor } from "../../compute/tensor/index.ts";
import { quantiseRows } from "../decoder/quantise-rows.ts";
import { inputWeights, llmInt8Linear, scope } from "./index.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/nn/llm_int8.json", import.meta.url), "utf8"),
) as Readonly<Record<string, string>> & { readonly sizes: number[]; readonly outliers: number[] };
const floats = (name: string): Float32Array =>
  new Float32Array(new Uint8Array(Buffer.from(golden[name]!, "base64")).buffer);
const [tokens, inner, outer] = golden.sizes as [number, number, number];

test("codes, products and gradient are bitsandbytes'", async () => {
  const weight = floats("weight");
  const { codes, scale } = quantiseRows(weight, inner);
  expect([...codes]).toEqual([...new Int8Array(Buffer.from(golden["codes"]!, "base64"))]);
  floats("largest").forEach((most, row) => expect(scale[row]).toBeCloseTo(most / 127, 7));

  const { outliers } = golden;
  expect(outliers.length).toBeGreaterThan(1);
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [tokens, inner]);
  const dy = g.input("dy", "float32", [tokens, outer]);
  const linear = llmInt8Linear(new Map([["m.qkv", outliers.length]]), "float32");
  const y = linear(scope(g, inputWeights(g)).at("m").at("q_proj"), x, outer);
  const [dx] = gradients(g, g.sum(g.mul(y, dy), [0, 1]), [x]);
  g.output("y", y);
  g.output("dx", dx!);
  await using runtime = await onnxRuntime({ threads: 1 });
  await using program = await runtime.compile(g.build());
  const { outputs } = await program.run({
    x: float32([tokens, inner], floats("x")),
    dy: float32([tokens, outer], floats("dy")),
    "m.q_proj.weight.codes": tensor("int8", [outer, inner], codes),
    "m.q_proj.weight.scale": float32([outer], scale),
    "m.q_proj.weight.outliers": float32(
      [outer, outliers.length],
      Array.from({ length: outer }, (_, row) => outliers.map((c) => weight[row * inner + c]!)).flat(),
    ),
    "m.qkv.outliers": int64([outliers.length], outliers),
    "m.qkv.regular": float32(
      [inner],
      Array.from({ length: inner }, (_, c) => (outliers.includes(c) ? 0 : 1)),
    ),
  });
  const gap = (name: string): number => {
    const expected = floats(name);
    return Math.max(...(outputs[name]!.data as Float32Array).map((v, i) => Math.abs(v - expected[i]!)));
  };
  // bitsandbytes hands its product out in half precision.
  expect(gap("y")).toBeLessThan(5e-3);
  expect(gap("dx")).toBeLessThan(1e-5);
});
