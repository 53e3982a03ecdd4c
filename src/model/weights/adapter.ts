/** LoRA adapters in PEFT's format: a folder of adapter_config.json and adapter_model.safetensors, both ways. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor } from "../../compute/tensor/index.ts";
import {
  UserError,
  explainReadError,
  nearest,
  parseJson,
  readTextFile,
  writeFileAtomic,
  writeFolderAtomic,
} from "../../util/index.ts";
import {
  type AdapterConfig,
  type ReadAdapterConfig,
  patternValue,
  readAdapterConfig,
  writeAdapterConfig,
} from "./adapter-config.ts";
import { openSafetensors } from "./safetensors.ts";
import { toWrite, writeSafetensors } from "./safetensors-writer.ts";
import type { WeightStore } from "./weight-store.ts";

/** The low-rank pair of one linear layer: W becomes W + scale · B·A. */
export interface LoraPair {
  /** [R, in] */
  readonly a: Tensor<"float32">;
  /** [out, R] */
  readonly b: Tensor<"float32">;
  /** alpha / R, or alpha / √R for rsLoRA. */
  readonly scale: number;
}

export interface Adapter {
  readonly config: AdapterConfig;
  /** By module name, such as `model.layers.0.self_attn.q_proj`. */
  readonly layers: ReadonlyMap<string, LoraPair>;
}

const configFile = "adapter_config.json";
const weightsFile = "adapter_model.safetensors";
const prefix = "base_model.model.";

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

/** Reads only the configuration: to learn the base model before it is opened. */
export async function readAdapterSettings(folder: string): Promise<ReadAdapterConfig> {
  const path = join(folder, configFile);
  const size = await stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      throw explainReadError(error, path, "the adapter's configuration");
    },
  );
  if (size > 16 * 1024 * 1024)
    throw new UserError(`the file has ${size} bytes; a configuration is small`, { at: path });
  return readAdapterConfig(parseJson(await readTextFile(path, "the adapter's configuration"), path), path);
}

/** Loads an adapter and checks it against the shapes of `base`. */
export async function loadAdapter(
  folder: string,
  base: Pick<WeightStore, "find" | "names">,
): Promise<Adapter> {
  const settings = await readAdapterSettings(folder);
  const path = join(folder, weightsFile);
  const file = await openSafetensors(path).catch(async (error: unknown) => {
    if (
      await stat(join(folder, "adapter_model.bin")).then(
        () => true,
        () => false,
      )
    ) {
      throw new UserError("the adapter is saved as a PyTorch pickle file, which is not read", {
        at: join(folder, "adapter_model.bin"),
        next: "Save it again with PEFT's save_pretrained, which writes adapter_model.safetensors.",
      });
    }
    throw error;
  });
  try {
    const layers = await readPairs(file.store, settings, base, path);
    const targetModules = settings.targetModules ?? [...layers.keys()];
    if (settings.targetModules !== undefined) refuseMissing(settings.targetModules, layers, base, path);
    return { config: { ...settings.config, targetModules }, layers };
  } finally {
    await file.store.close();
  }
}

async function readPairs(
  store: WeightStore,
  settings: ReadAdapterConfig,
  base: Pick<WeightStore, "find" | "names">,
  path: string,
): Promise<ReadonlyMap<string, LoraPair>> {
  const modules = new Set<string>();
  for (const name of store.names()) {
    const module = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(name)?.[1];
    if (module === undefined) {
      throw new UserError(
        `the adapter holds ${JSON.stringify(name.slice(0, 120))}, which is not part of a LoRA layer`,
        {
          at: path,
          next: "Only lora_A and lora_B weights of linear layers are supported.",
        },
      );
    }
    modules.add(module);
  }
  if (modules.size === 0) throw new UserError("the adapter holds no weights", { at: path });
  const layers = new Map<string, LoraPair>();
  for (const module of modules) layers.set(module, await readPair(module, store, settings, base, path));
  return layers;
}

async function readPair(
  module: string,
  store: WeightStore,
  settings: ReadAdapterConfig,
  base: Pick<WeightStore, "find" | "names">,
  path: string,
): Promise<LoraPair> {
  const [outWidth, inWidth] = baseShape(module, base, path);
  const rank = patternValue(settings.rankPattern, module) ?? settings.config.rank;
  const alpha = patternValue(settings.alphaPattern, module) ?? settings.config.alpha;
  const read = async (part: "A" | "B", shape: readonly number[]): Promise<Tensor<"float32">> => {
    const name = `${prefix}${module}.lora_${part}.weight`;
    const found = store.find(name);
    if (found === undefined)
      throw new UserError(`the adapter lacks ${name}`, { at: path, next: "Save it again." });
    if (found.shape.join() !== shape.join()) throw wrongShape(module, part, found.shape, shape, rank, path);
    const value = await store.read(name);
    if (value.data.some((x) => !Number.isFinite(x))) {
      throw new UserError(`${name} holds a value that is not finite`, {
        at: path,
        next: "Take an earlier checkpoint.",
      });
    }
    return value;
  };
  return {
    a: await read("A", [rank, inWidth]),
    b: await read("B", [outWidth, rank]),
    scale: loraScale(alpha, rank, settings.config.rsLora),
  };
}

function baseShape(
  module: string,
  base: Pick<WeightStore, "find" | "names">,
  path: string,
): readonly [number, number] {
  const shape = base.find(`${module}.weight`)?.shape;
  if (shape?.length === 2 && !module.endsWith("embed_tokens")) return [shape[0]!, shape[1]!];
  const modules = base.names().flatMap((name) => (name.endsWith(".weight") ? [name.slice(0, -7)] : []));
  const near = nearest(module, modules);
  throw new UserError(
    shape === undefined
      ? `the adapter is for ${module}, which the base model does not have`
      : `the adapter is for ${module}, which is not a linear layer of the base model`,
    {
      at: path,
      next:
        near === undefined || near === module
          ? "Load it on the model that it was trained on."
          : `The nearest is ${near}. Load it on the model that it was trained on.`,
    },
  );
}

function wrongShape(
  module: string,
  part: "A" | "B",
  found: readonly number[],
  wanted: readonly number[],
  rank: number,
  path: string,
): UserError {
  const foundRank = found[part === "A" ? 0 : 1];
  const rankDiffers = found.length === 2 && foundRank !== rank;
  return new UserError(
    `lora_${part} of ${module} is [${found.join(", ")}], not [${wanted.join(", ")}]` +
      (rankDiffers ? `: the weights have rank ${foundRank}, the configuration says ${rank}` : ""),
    {
      at: path,
      next: rankDiffers
        ? "Take configuration and weights of one adapter."
        : "Load it on the model that it was trained on.",
    },
  );
}

function refuseMissing(
  targets: readonly string[],
  layers: ReadonlyMap<string, LoraPair>,
  base: Pick<WeightStore, "find" | "names">,
  path: string,
): void {
  const wanted = base.names().flatMap((name) => {
    const module = name.endsWith(".weight") ? name.slice(0, -7) : "";
    return targets.some((target) => module === target || module.endsWith(`.${target}`)) ? [module] : [];
  });
  const missing = wanted.filter((module) => !layers.has(module));
  if (missing.length === 0) return;
  throw new UserError(
    `target_modules covers ${wanted.length} layers, but the weights of ${missing.length} are missing, such as ${missing[0]}`,
    { at: path, next: "Fetch the adapter again, or load it on the model that it was trained on." },
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
  const { config, layers } = adapter;
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
    const tensors = [...layers].flatMap(([module, { a, b }]) => [
      toWrite(`${prefix}${module}.lora_A.weight`, a),
      toWrite(`${prefix}${module}.lora_B.weight`, b),
    ]);
    await writeSafetensors(join(temporary, weightsFile), tensors, { format: "pt" });
    await writeFileAtomic(join(temporary, configFile), writeAdapterConfig(config, ranks, alphas));
    for (const [name, content] of Object.entries(extraFiles))
      await writeFileAtomic(join(temporary, name), content);
  });
}
