/** What a tiny model's golden file says, checked on any runtime: logits, loss, gradients of adapters and of all weights. */
import { expect } from "vitest";
import type { Runtime } from "../../compute/runtime/index.ts";
import type { ParameterLayout } from "../nn/index.ts";
import { parameterViews } from "../nn/index.ts";
import { formulaTensor } from "../../../test/fixtures/formula-weights.ts";
import {
  type TinyModel,
  formulaVector,
  layoutOf,
  relativeError,
  runLogits,
  runLoss,
  unpack,
} from "./tiny-model.testing.ts";

export const tolerance = 1e-4;

/** Each parameter's gradient by itself, so that a large one cannot hide an error in a small one. */
export function expectGradients(layout: ParameterLayout, got: Float32Array, want: Float32Array): void {
  const wanted = parameterViews(layout, want);
  for (const [name, values] of parameterViews(layout, got)) {
    expect(relativeError(values, wanted.get(name)!), `gradient of ${name}`).toBeLessThan(tolerance);
  }
}

export async function checkLogits(runtime: Runtime, model: TinyModel): Promise<void> {
  const base = await runLogits(runtime, model, model.sequences);
  expect(relativeError(base, unpack(model.golden.base.logits))).toBeLessThan(tolerance);
  const { names, logits } = model.golden.lora["all-linear"]!;
  const layout = layoutOf(model.spec, names, model.golden.rank);
  const adapter = new Map(layout.entries.map(({ name, shape }) => [name, formulaTensor(name, shape)]));
  const adapted = await runLogits(runtime, model, model.sequences, adapter, model.scale);
  expect(relativeError(adapted, unpack(logits!))).toBeLessThan(tolerance);
}

export async function checkAdapter(runtime: Runtime, model: TinyModel, targets: string): Promise<void> {
  const { golden, spec, scale } = model;
  const { names, loss, gradient } = golden.lora[targets]!;
  const layout = layoutOf(spec, names, golden.rank);
  const adapts = (path: string): boolean => names.includes(`${path}.lora_A.weight`);
  const got = await runLoss(runtime, model, model.sequences, {
    layout,
    parameters: formulaVector(layout),
    adapter: { rank: golden.rank, scale, adapts },
  });
  expect(Math.abs(got.loss / loss - 1)).toBeLessThan(tolerance);
  expectGradients(layout, got.gradient, unpack(gradient));
}

/** Training of all weights, no adapter. */
export async function checkAllWeights(runtime: Runtime, model: TinyModel): Promise<void> {
  const { golden, spec } = model;
  const layout = layoutOf(spec, golden.full!.names, golden.rank);
  const got = await runLoss(runtime, model, model.sequences, { layout, parameters: formulaVector(layout) });
  expect(Math.abs(got.loss / golden.base.loss - 1)).toBeLessThan(tolerance);
  expectGradients(layout, got.gradient, unpack(golden.full!.gradient));
}
