/** The configuration by which the embedded model is pre-trained describes the model that is shipped. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeStart, pretrainConfigSchema, resolveConfig, trainConfigOf } from "../../src/project/index.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const model = join(ROOT, "assets", "quickstart", "model");

it("makes the shipped config.json and vocabulary", async () => {
  const { config } = await resolveConfig(pretrainConfigSchema, {
    file: join(ROOT, "scripts", "quickstart", "pretrain.yaml"),
    set: [
      `data=${join(ROOT, "assets", "quickstart", "validation.jsonl")}`,
      `tokenizer=${join(ROOT, "assets", "quickstart", "model")}`,
    ],
  });
  const { files } = await makeStart(config);
  const { torch_dtype: _, ...shipped } = JSON.parse(
    readFileSync(join(model, "config.json"), "utf8"),
  ) as Record<string, unknown>;
  expect(files.config).toMatchObject(shipped);
  expect(files.generationConfig).toMatchObject(
    JSON.parse(readFileSync(join(model, "generation_config.json"), "utf8")) as object,
  );
  expect(trainConfigOf(config, "runs/x").training).toMatchObject({
    steps: 640,
    batchTokens: 4096,
    maxLength: 512,
  });
});
