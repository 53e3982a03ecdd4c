/** A model that does not exist yet: a description, a tokenizer, and weights that are drawn when they are asked for. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Tensor, float32, tensorBytes } from "../compute/tensor/index.ts";
import { random } from "../util/index.ts";
import { type ModelSpec, expectedWeights, specFromConfig } from "./decoder/index.ts";
import type { OpenModel } from "./hub/index.ts";
import { storeOver } from "./weights/index.ts";

export interface Initialisation {
  readonly seed: number;
  /** Of the normal distribution that matrices are drawn from. */
  readonly deviation: number;
  /** Projections back into the residual stream start smaller, by 1/√(2 · layers) (GPT-2, GPT-NeoX). */
  readonly scaledResiduals: boolean;
}

export interface FreshModelFiles {
  /** Parsed `config.json`. */
  readonly config: unknown;
  /** Parsed `tokenizer.json`. */
  readonly tokenizerJson: unknown;
  /** Parsed `tokenizer_config.json`. */
  readonly tokenizerConfig: unknown;
  /** Parsed `generation_config.json`. */
  readonly generationConfig: unknown;
}

/**
 * The first values of one weight, the same on every machine: norms one, biases zero, matrices normal with the deviation
 * given (Llama, GPT-NeoX). Each weight has a stream of its own, so that none depends on which were read before it.
 */
export function initialWeight(
  name: string,
  shape: readonly number[],
  { layers }: Pick<ModelSpec, "layers">,
  { seed, deviation, scaledResiduals }: Initialisation,
): Tensor<"float32"> {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  if (name.endsWith("norm.weight")) data.fill(1);
  else if (!name.endsWith(".bias")) {
    const residual = scaledResiduals && /\.(o_proj|down_proj)\.weight$/.test(name);
    const scale = residual ? deviation / Math.sqrt(2 * layers) : deviation;
    const dice = random(seed, `initial ${name}`);
    for (let i = 0; i < data.length; i++) data[i] = scale * dice.normal();
  }
  return float32(shape, data);
}

/** `folder`: where the files are, or will be. Nothing is read or held: a weight is drawn each time it is asked for. */
export function freshModel(
  folder: string,
  { config, tokenizerJson, tokenizerConfig, generationConfig }: FreshModelFiles,
  initialisation: Initialisation,
): OpenModel {
  const spec = specFromConfig(config, join(folder, "config.json"));
  const weights = expectedWeights(spec);
  const draw = (name: string): Tensor<"float32"> => {
    const { shape } = weights.find((weight) => weight.name === name)!;
    return initialWeight(name, shape, spec, initialisation);
  };
  const infos = weights.map(({ name, shape }) => {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    return [name, { storage: "F32", shape, bytes, readable: true }] as const;
  });
  const store = storeOver("the new model", new Map(infos), {
    read: async (name) => draw(name),
    readRaw: async (name) => {
      const value = draw(name);
      return { storage: "F32", shape: value.shape, bytes: tensorBytes(value) };
    },
    close: async () => {},
  });
  return {
    reference: folder,
    name: folder,
    folder,
    spec,
    store,
    tokenizer: { kind: "files", tokenizerJson, tokenizerConfig, at: join(folder, "tokenizer.json") },
    generationConfig,
    fingerprint: createHash("sha256")
      .update(JSON.stringify([spec, initialisation]))
      .digest("hex"),
    close: store.close,
  };
}
