/** Every family on onnxruntime: logits, loss and gradients equal to PyTorch + transformers + PEFT in float32. */
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { checkAdapter, checkAllWeights, checkLogits } from "./parity.contract.ts";
import { families, tinyModel } from "./tiny-model.testing.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

describe.each(families)("%s", (family) => {
  const model = tinyModel(family);
  test("logits of rows of unequal length, with and without an adapter", () => checkLogits(runtime, model));
  test.each(Object.keys(model.golden.lora))("LoRA on %s: loss and gradients of A and B", (targets) =>
    checkAdapter(runtime, model, targets),
  );
  if (model.golden.full !== undefined)
    test("training of all weights: loss and gradients", () => checkAllWeights(runtime, model));
});
