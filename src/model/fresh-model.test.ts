/** First weights: the distribution that was asked for, the same each time, each weight by itself. */
import { expect, test } from "vitest";
import { initialWeight } from "./fresh-model.ts";

const spec = { layers: 8 };
const how = { seed: 3, deviation: 0.02, scaledResiduals: true };
const shape = [64, 200];
const draw = (name: string, changes: Partial<typeof how> = {}, of = shape): Float32Array =>
  initialWeight(name, of, spec, { ...how, ...changes }).data;

/** Mean, standard deviation and kurtosis (3 for a normal distribution). */
function moments(data: Float32Array): { mean: number; deviation: number; kurtosis: number } {
  const mean = data.reduce((a, b) => a + b) / data.length;
  const power = (n: number): number => data.reduce((sum, x) => sum + (x - mean) ** n, 0) / data.length;
  return { mean, deviation: Math.sqrt(power(2)), kurtosis: power(4) / power(2) ** 2 };
}

test("matrices are normal with the deviation given, projections back into the residual stream smaller", () => {
  const q = moments(draw("model.layers.0.self_attn.q_proj.weight"));
  // Five standard errors of 12,800 draws.
  expect(Math.abs(q.mean)).toBeLessThan((5 * 0.02) / Math.sqrt(12_800));
  expect(Math.abs(q.deviation / 0.02 - 1)).toBeLessThan(5 / Math.sqrt(2 * 12_800));
  expect(Math.abs(q.kurtosis - 3)).toBeLessThan(5 * Math.sqrt(24 / 12_800));
  for (const name of ["self_attn.o_proj", "mlp.down_proj"]) {
    const { deviation } = moments(draw(`model.layers.3.${name}.weight`));
    expect(Math.abs(deviation / (0.02 / 4) - 1)).toBeLessThan(0.05);
    const plain = moments(draw(`model.layers.3.${name}.weight`, { scaledResiduals: false }));
    expect(Math.abs(plain.deviation / 0.02 - 1)).toBeLessThan(0.05);
  }
});

test("norms are one, biases zero", () => {
  for (const name of ["model.norm.weight", "model.layers.0.self_attn.q_norm.weight"])
    expect(new Set(draw(name, {}, [16]))).toEqual(new Set([1]));
  expect(new Set(draw("model.layers.0.self_attn.q_proj.bias", {}, [16]))).toEqual(new Set([0]));
});

test("the seed and the name decide", () => {
  const name = "model.embed_tokens.weight";
  expect(draw(name)).toEqual(draw(name));
  expect(draw(name)).not.toEqual(draw(name, { seed: 4 }));
  expect(draw("model.layers.0.mlp.up_proj.weight")).not.toEqual(draw("model.layers.1.mlp.up_proj.weight"));
});
