/** A tiny random model with a real tokenizer, and a configuration that trains it, for tests of whole runs. */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { float32 } from "../compute/tensor/index.ts";
import { expectedWeights, specFromConfig } from "../model/decoder/index.ts";
import { toWrite, writeSafetensors } from "../model/weights/index.ts";
import { random } from "../util/index.ts";
import { type TrainConfig, trainConfigSchema } from "./schema.ts";

const quickstart = fileURLToPath(new URL("../../assets/quickstart", import.meta.url));

/** Writes `folder/model` and `folder/train.jsonl` (whole dialogues, about `replies` rows) and returns their settings. */
export async function tinyProject(
  folder: string,
  replies: number,
  settings: Record<string, unknown> = {},
): Promise<TrainConfig> {
  const model = join(folder, "model");
  await mkdir(model, { recursive: true });
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(quickstart, "model", name), join(model, name));
  const real = JSON.parse(await readFile(join(quickstart, "model", "config.json"), "utf8")) as Record<
    string,
    unknown
  >;
  const config = {
    ...real,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
  };
  await writeFile(join(model, "config.json"), JSON.stringify(config));
  const dice = random(1, "tiny project");
  await writeSafetensors(
    join(model, "model.safetensors"),
    expectedWeights(specFromConfig(config)).map(({ name, shape }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const data = Float32Array.from({ length: size }, () => (name.includes("norm") ? 1 : dice.normal() / 4));
      return toWrite(name, float32(shape, data));
    }),
    { format: "pt" },
  );
  const lines = (await readFile(join(quickstart, "train.jsonl"), "utf8")).split("\n").slice(0, replies);
  await writeFile(join(folder, "train.jsonl"), `${lines.join("\n")}\n`);
  return trainConfigSchema.parse({ model, data: join(folder, "train.jsonl"), ...settings });
}
