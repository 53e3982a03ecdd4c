/** Two families on the reference interpreter: the same golden numbers without onnxruntime. */
import { describe, test } from "vitest";
import { referenceRuntime } from "../../compute/runtime/index.ts";
import { checkAdapter, checkAllWeights, checkLogits } from "./parity.contract.ts";
import { tinyModel } from "./tiny-model.testing.ts";

describe.each(["llama2", "qwen3"] as const)("%s", (family) => {
  const model = tinyModel(family);
  test("logits", () => checkLogits(referenceRuntime(), model));
  test("LoRA on all linear layers", () => checkAdapter(referenceRuntime(), model, "all-linear"));
  test("training of all weights", () => checkAllWeights(referenceRuntime(), model));
});
