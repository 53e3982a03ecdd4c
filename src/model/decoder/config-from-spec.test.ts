/** A spec written as config.json and read again is the same model. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configFromSpec } from "./config-from-spec.ts";
import { specFromConfig } from "./model-spec-config.ts";
import { withSlidingWindow } from "./model-spec.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/weights/model_specs.json", import.meta.url), "utf8"),
) as Readonly<Record<string, { readonly config: Record<string, unknown> }>>;

test.each(Object.keys(golden))("%s", (name) => {
  const spec = specFromConfig(golden[name]!.config);
  expect(specFromConfig(configFromSpec(spec, "bfloat16"))).toEqual(spec);
});

test("a Llama with a sliding window becomes a Mistral with that window; with biases there is none", () => {
  const plain = specFromConfig(golden["llama"]!.config);
  const narrowed = withSlidingWindow(
    { ...plain, attentionBias: { qkv: false, output: false }, mlpBias: false },
    9,
  );
  const read = specFromConfig(configFromSpec(narrowed, "float32"));
  expect(read).toEqual({ ...narrowed, family: "mistral", architecture: "MistralForCausalLM" });
  const biased = { ...narrowed, attentionBias: { qkv: true, output: true } };
  expect(() => configFromSpec(biased, "float32")).toThrow(/no counterpart in transformers/);
});
