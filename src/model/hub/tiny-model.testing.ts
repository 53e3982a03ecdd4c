/** The files of a tiny random LLaMA checkpoint, for tests of fetching and opening. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { float32 } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { expectedWeights, specFromConfig } from "../decoder/index.ts";
import { toWrite, writeSafetensors } from "../weights/index.ts";

export const tinyConfig = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 40,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 2,
};

/** name → content; `sharded`: an index and two shards in place of one file. */
export async function tinyCheckpoint(
  options: { readonly sharded?: boolean; readonly seed?: number } = {},
): Promise<Record<string, Buffer>> {
  const source = random(options.seed ?? 1, "tiny checkpoint");
  const tensors = expectedWeights(specFromConfig(tinyConfig)).map(({ name, shape }) =>
    toWrite(
      name,
      float32(
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => source.normal()),
      ),
    ),
  );
  const folder = await mkdtemp(join(tmpdir(), "attune-tiny-"));
  try {
    const files: Record<string, Buffer> = {
      "config.json": Buffer.from(JSON.stringify(tinyConfig)),
      "tokenizer.json": Buffer.from('{"version":"1.0"}'),
      "tokenizer_config.json": Buffer.from('{"eos_token":"</s>"}'),
      "generation_config.json": Buffer.from('{"eos_token_id":2}'),
      "chat_template.jinja": Buffer.from("{{ messages }}"),
    };
    const put = async (name: string, some: typeof tensors): Promise<void> => {
      await writeSafetensors(join(folder, name), some, { format: "pt" });
      files[name] = await readFile(join(folder, name));
    };
    if (options.sharded === true) {
      const half = Math.ceil(tensors.length / 2);
      await put("model-00001-of-00002.safetensors", tensors.slice(0, half));
      await put("model-00002-of-00002.safetensors", tensors.slice(half));
      const place = (index: number): string => `model-0000${index < half ? 1 : 2}-of-00002.safetensors`;
      files["model.safetensors.index.json"] = Buffer.from(
        JSON.stringify({ weight_map: Object.fromEntries(tensors.map(({ name }, i) => [name, place(i)])) }),
      );
    } else {
      await put("model.safetensors", tensors);
    }
    return files;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
