/** LoRA and DoRA adapters: what they are, and PEFT's format written. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor } from "../../compute/tensor/index.ts";
import { writeFileAtomic, writeFolderAtomic } from "../../util/index.ts";
import { type AdapterConfig, writeAdapterConfig } from "./adapter-config.ts";
import { type TensorToWrite, toWrite, writeSafetensors } from "./safetensors-writer.ts";

/** What changes one linear layer: W becomes V = W + scale · B·A, and with a magnitude, magnitude ⊙ V / ‖V‖ by row. */
export interface LoraPair {
  /** [R, in] */
  readonly a: Tensor<"float32">;
  /** [out, R] */
  readonly b: Tensor<"float32">;
  /** alpha / R, or alpha / √R for rsLoRA. */
  readonly scale: number;
  /** [out]: DoRA's length of each row. */
  readonly magnitude?: Tensor<"float32">;
}

/** Rows of an embedding matrix. */
export interface TokenRows {
  readonly ids: readonly number[];
  /** [ids, D] */
  readonly values: Tensor<"float32">;
}

export interface Adapter {
  readonly config: AdapterConfig;
  /** By module name, such as `model.layers.0.self_attn.q_proj`. */
  readonly layers: ReadonlyMap<string, LoraPair>;
  /** Whole weights that take the place of the base's, by checkpoint name (PEFT's modules_to_save). */
  readonly replaced?: ReadonlyMap<string, Tensor<"float32">>;
  /** Rows that take the place of the base's, by checkpoint name of the matrix (PEFT's trainable_token_indices). */
  readonly tokenRows?: ReadonlyMap<string, TokenRows>;
}

export const configFile = "adapter_config.json";
export const weightsFile = "adapter_model.safetensors";
export const prefix = "base_model.model.";

/** The factor before B·A. Sources: Hu et al. 2021; Kalajdzievski 2023 (rsLoRA). */
export function loraScale(alpha: number, rank: number, rsLora: boolean): number {
  return rsLora ? alpha / Math.sqrt(rank) : alpha / rank;
}

/** Whether `folder` looks like an adapter. */
export async function isAdapterFolder(folder: string): Promise<boolean> {
  return stat(join(folder, configFile)).then(
    (found) => found.isFile(),
    () => false,
  );
}

/**
 * Saves `adapter` as a folder that PEFT loads. Atomic: the folder appears complete; one of that name is replaced.
 * `extraFiles` are written beside (name → content).
 */
export async function saveAdapter(
  folder: string,
  adapter: Adapter,
  extraFiles: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { config, layers, tokenRows } = adapter;
  const ranks = new Map<string, number>();
  const alphas = new Map<string, number>();
  for (const [module, { a, scale }] of layers) {
    const rank = a.shape[0]!;
    if (rank !== config.rank) ranks.set(module, rank);
    const alpha = scale * (config.rsLora ? Math.sqrt(rank) : rank);
    if (loraScale(config.alpha, rank, config.rsLora) !== scale)
      alphas.set(module, Number(alpha.toPrecision(12)));
  }
  await writeFolderAtomic(folder, async (temporary) => {
    await writeSafetensors(join(temporary, weightsFile), tensorsOf(adapter), { format: "pt" });
    const indices = new Map([...(tokenRows ?? [])].map(([name, { ids }]) => [endOf(name), ids]));
    await writeFileAtomic(join(temporary, configFile), writeAdapterConfig(config, ranks, alphas, indices));
    for (const [name, content] of Object.entries(extraFiles))
      await writeFileAtomic(join(temporary, name), content);
  });
}

/** The last part of the module that a weight belongs to. */
function endOf(weight: string): string {
  return weight.split(".").at(-2)!;
}

function tensorsOf({ config, layers, replaced, tokenRows }: Adapter): TensorToWrite[] {
  const tensors = [...layers].flatMap(([module, { a, b, magnitude }]) => [
    toWrite(`${prefix}${module}.lora_A.weight`, a),
    toWrite(`${prefix}${module}.lora_B.weight`, b),
    ...(magnitude === undefined ? [] : [toWrite(`${prefix}${module}.lora_magnitude_vector`, magnitude)]),
  ]);
  for (const [name, value] of replaced ?? []) {
    tensors.push(toWrite(`${prefix}${name}`, value));
    // PEFT keeps a copy of a shared matrix under both names.
    if (config.tied === true && name === "model.embed_tokens.weight")
      tensors.push(toWrite(`${prefix}lm_head.weight`, value));
  }
  for (const [name, { values }] of tokenRows ?? []) {
    const module = name.slice(0, -".weight".length);
    tensors.push(toWrite(`${prefix}${module}.token_adapter.trainable_tokens_delta`, values));
  }
  return tensors;
}
