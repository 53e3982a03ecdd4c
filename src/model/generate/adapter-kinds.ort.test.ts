/** Adapters beyond plain LoRA, made by PEFT and by us: the logits are those that PEFT computes with them. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formulaTensor } from "../../../test/fixtures/formula-weights.ts";
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import type { Tensor } from "../../compute/tensor/index.ts";
import { expectedWeights, loadResidentModel, specFromConfig } from "../decoder/index.ts";
import {
  type Adapter,
  type WeightStore,
  loadAdapter,
  memoryWeights,
  mergeLora,
  pairForWeight,
  saveAdapter,
} from "../weights/index.ts";
import { generationEngine } from "./engine.ts";

const golden = fileURLToPath(new URL("../../../test/golden/weights/", import.meta.url));
const ids = [1, 5, 32, 31, 3, 32, 7];
const kinds = ["dora", "modules", "modules-tied", "tokens", "tokens-tied"] as const;
type Kind = (typeof kinds)[number];

const specOf = (kind: Kind) =>
  specFromConfig({
    model_type: "llama",
    vocab_size: 33,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 4,
    tie_word_embeddings: kind.endsWith("tied"),
  });
const weightsOf = (kind: Kind): Map<string, Tensor<"float32">> =>
  new Map(expectedWeights(specOf(kind)).map(({ name, shape }) => [name, formulaTensor(name, shape)]));
const baseOf = (kind: Kind): WeightStore => memoryWeights(weightsOf(kind));

let runtime: Runtime;
let record: Readonly<Record<string, readonly number[]>>;
let root: string;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  record = JSON.parse(await readFile(join(golden, "adapter_kinds.json"), "utf8"));
  root = await mkdtemp(join(tmpdir(), "attune-kinds-"));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
  await runtime[Symbol.asyncDispose]();
});

/** Logits of all positions, each as the last of its beginning. */
async function logitsOf(
  kind: Kind,
  adapter: Adapter | undefined,
  weights = weightsOf(kind),
): Promise<number[]> {
  const model = await loadResidentModel(runtime, specOf(kind), memoryWeights(weights));
  await using engine = await generationEngine(model, { slots: ids.length, capacity: 8 });
  await engine.useAdapter(adapter);
  const prompts = ids.map((_, slot) => ({ slot, ids: ids.slice(0, slot + 1) }));
  return (await engine.prefill(prompts, true)).flatMap(({ logits }) => [...logits!]);
}

function expectClose(got: readonly number[], want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  expect(Math.max(...want.map((value, i) => Math.abs(value - got[i]!)))).toBeLessThan(2e-5);
}

describe.each(kinds)("%s", (kind) => {
  test("PEFT's file gives PEFT's logits, merged into the weights as well", async () => {
    const adapter = await loadAdapter(join(golden, `peft-${kind}`), baseOf(kind));
    expectClose(await logitsOf(kind, adapter), record[`peft-${kind}`]!);
    const merged = weightsOf(kind);
    for (const [name, weight] of merged) {
      const pair = pairForWeight(adapter.layers, name);
      if (pair !== undefined) merged.set(name, mergeLora(weight, pair));
    }
    for (const [name, value] of adapter.replaced ?? []) merged.set(name, value);
    for (const [name, { ids: rows, values }] of adapter.tokenRows ?? [])
      rows.forEach((id, row) =>
        merged.get(name)!.data.set(values.data.subarray(16 * row, 16 * (row + 1)), 16 * id),
      );
    expectClose(await logitsOf(kind, undefined, merged), record[`peft-${kind}`]!);
  });

  test("our file is byte for byte the one that PEFT was recorded loading, with the same logits", async () => {
    const adapter = await loadAdapter(join(golden, `peft-${kind}`), baseOf(kind));
    const path = join(root, `attune-${kind}`);
    await saveAdapter(path, adapter);
    for (const file of ["adapter_config.json", "adapter_model.safetensors"])
      expect(await readFile(join(path, file)), file).toEqual(
        await readFile(join(golden, `attune-${kind}`, file)),
      );
    expectClose(record[`attune-${kind}`]!, record[`peft-${kind}`]!);
    expect(await loadAdapter(path, baseOf(kind))).toEqual(adapter);
  });

  test("PEFT loads what we save", async (ctx) => {
    const python = process.env["ATTUNE_PYTHON"];
    if (python === undefined) return ctx.skip("ATTUNE_PYTHON names no Python with peft");
    const path = join(root, `live-${kind}`);
    await saveAdapter(path, await loadAdapter(join(golden, `peft-${kind}`), baseOf(kind)));
    const { stdout } = await promisify(execFile)(python, [join(golden, "adapter_kinds.py"), "read", path], {
      timeout: 110_000,
      maxBuffer: 1 << 24,
    });
    expectClose(JSON.parse(stdout.slice(stdout.indexOf("["))) as number[], record[`peft-${kind}`]!);
  }, 120_000);
});

test("a separate lm_head is refused where the base shares its embedding matrix, and added tokens that it lacks", async () => {
  await expect(loadAdapter(join(golden, "peft-modules"), baseOf("modules-tied"))).rejects.toThrow(
    /brings an lm_head of its own, but the base model uses its embedding matrix there/,
  );
  const small = memoryWeights(
    [...weightsOf("tokens")].map(([name, weight]) =>
      weight.shape[0] === 33
        ? [name, { ...weight, shape: [32, 16], data: weight.data.slice(0, 512) }]
        : [name, weight],
    ),
  );
  await expect(loadAdapter(join(golden, "peft-tokens"), small)).rejects.toThrow(
    /brings a row for token 32, but the base model's vocabulary has 32/,
  );
  await expect(loadAdapter(join(golden, "peft-modules"), small)).rejects.toThrow(
    /of the adapter is \[33, 16\], the base model's \[32, 16\] .*The vocabularies differ/,
  );
});
