/** The real SmolLM2-135M: every weight read from its GGUF is the one that transformers loads. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { smolLm2 } from "../../../test/fixtures/smollm2.ts";
import { tensorBytes } from "../../compute/tensor/index.ts";
import { checkWeights, parameterCount, specFromGguf } from "../decoder/index.ts";
import { openGguf } from "./gguf.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/weights/smollm2.json", import.meta.url), "utf8"),
) as {
  readonly parameters: number;
  readonly config: Readonly<Record<string, unknown>>;
  readonly weights: Readonly<Record<string, readonly [readonly number[], string]>>;
};

test("all 272 weights of the GGUF are bit for bit those of transformers, and the spec is its configuration", async (ctx) => {
  const fixture = await smolLm2();
  if (fixture.path === undefined) return ctx.skip(fixture.reason);
  const gguf = await openGguf(fixture.path);
  const { store } = gguf;
  const spec = await specFromGguf(gguf);
  checkWeights(spec, store, "SmolLM2");
  expect(parameterCount(spec)).toBe(golden.parameters);
  expect(spec).toMatchObject({
    hiddenSize: golden.config["hidden_size"],
    layers: golden.config["num_hidden_layers"],
    heads: golden.config["num_attention_heads"],
    kvHeads: golden.config["num_key_value_heads"],
    headWidth: golden.config["head_dim"],
    mlpWidth: golden.config["intermediate_size"],
    vocabulary: golden.config["vocab_size"],
    contextLength: golden.config["max_position_embeddings"],
    tiedEmbeddings: golden.config["tie_word_embeddings"],
    rope: { theta: 100_000, scaling: { kind: "none" } },
    bosId: golden.config["bos_token_id"],
    eosIds: [golden.config["eos_token_id"]],
  });
  expect(Math.fround(spec.normEpsilon)).toBe(golden.config["rms_norm_eps"]);
  expect([...store.names()].sort()).toEqual(Object.keys(golden.weights).sort());
  for (const [name, [shape, sha256]] of Object.entries(golden.weights)) {
    const weight = await store.read(name);
    expect(weight.shape).toEqual(shape);
    expect(createHash("sha256").update(tensorBytes(weight)).digest("hex"), name).toBe(sha256);
  }
  await store.close();
}, 360_000);
