/** Adapters in PEFT's format read and checked against their base. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor } from "../../compute/tensor/index.ts";
import { UserError, explainReadError, nearest, parseJson, readTextFile } from "../../util/index.ts";
import {
  type Adapter,
  type LoraPair,
  type TokenRows,
  configFile,
  loraScale,
  prefix,
  weightsFile,
} from "./adapter.ts";
import { type ReadAdapterConfig, patternValue, readAdapterConfig } from "./adapter-config.ts";
import { openSafetensors } from "./safetensors.ts";
import type { WeightStore } from "./weight-store.ts";

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
    const parts = sortNames(file.store, settings, path);
    const layers = new Map<string, LoraPair>();
    for (const module of parts.pairs)
      layers.set(module, await readPair(module, file.store, settings, base, path));
    const targetModules = settings.targetModules ?? [...layers.keys()];
    if (settings.targetModules !== undefined) refuseMissing(settings.targetModules, layers, base, path);
    const replaced = await readReplaced(parts.whole, file.store, settings, base, path);
    const tokenRows = await readTokenRows(parts.tokens, file.store, settings, base, path);
    return {
      config: { ...settings.config, targetModules },
      layers,
      ...(replaced.size === 0 ? {} : { replaced }),
      ...(tokenRows.size === 0 ? {} : { tokenRows }),
    };
  } finally {
    await file.store.close();
  }
}

interface Parts {
  /** Modules with lora_A and lora_B. */
  readonly pairs: ReadonlySet<string>;
  /** Weights saved whole. */
  readonly whole: readonly string[];
  /** Modules of which rows were saved. */
  readonly tokens: readonly string[];
}

/** What each name in the file is part of; one that is part of nothing is refused. */
function sortNames(store: WeightStore, { config }: ReadAdapterConfig, path: string): Parts {
  const pairs = new Set<string>();
  const whole: string[] = [];
  const tokens: string[] = [];
  const saved = [...(config.modulesToSave ?? []), "embed_tokens", "lm_head"];
  for (const name of store.names()) {
    const [, module, part] =
      /^base_model\.model\.(.+?)\.(lora_[AB]\.weight|lora_magnitude_vector|token_adapter\.trainable_tokens_delta|weight|bias)$/.exec(
        name,
      ) ?? [];
    const isPair = part?.startsWith("lora_") === true;
    if (module !== undefined && isPair && (config.dora === true || part !== "lora_magnitude_vector"))
      pairs.add(module);
    else if (module !== undefined && part?.startsWith("token_adapter") === true) tokens.push(module);
    else if (module !== undefined && !isPair && saved.some((end) => module.endsWith(end)))
      whole.push(`${module}.${part}`);
    else {
      throw new UserError(
        `the adapter holds ${JSON.stringify(name.slice(0, 120))}, which is not part of a LoRA layer`,
        {
          at: path,
          next: "Supported: lora_A, lora_B and lora_magnitude_vector of linear layers, and what modules_to_save names.",
        },
      );
    }
  }
  if (pairs.size === 0 && whole.length === 0)
    throw new UserError("the adapter holds no weights", { at: path });
  return { pairs, whole, tokens };
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
    const found = shapeOf(name, store, path);
    if (found.join() !== shape.join()) throw wrongShape(module, part, found, shape, rank, path);
    return readFinite(name, store, path);
  };
  return {
    a: await read("A", [rank, inWidth]),
    b: await read("B", [outWidth, rank]),
    scale: loraScale(alpha, rank, settings.config.rsLora),
    ...(settings.config.dora === true
      ? { magnitude: await readAs(`${module}.lora_magnitude_vector`, [outWidth], store, path) }
      : {}),
  };
}

function shapeOf(name: string, store: WeightStore, path: string): readonly number[] {
  const found = store.find(name);
  if (found !== undefined) return found.shape;
  throw new UserError(`the adapter lacks ${name}`, { at: path, next: "Save it again." });
}

async function readFinite(name: string, store: WeightStore, path: string): Promise<Tensor<"float32">> {
  const value = await store.read(name);
  if (value.data.every((x) => Number.isFinite(x))) return value;
  throw new UserError(`${name} holds a value that is not finite`, {
    at: path,
    next: "Take an earlier checkpoint.",
  });
}

/** The tensor of this name without PEFT's prefix, whose shape must be `shape`. */
async function readAs(
  name: string,
  shape: readonly number[],
  store: WeightStore,
  path: string,
): Promise<Tensor<"float32">> {
  const full = `${prefix}${name}`;
  const found = shapeOf(full, store, path);
  if (found.join() === shape.join()) return readFinite(full, store, path);
  throw new UserError(
    `${name} of the adapter is [${found.join(", ")}], the base model's [${shape.join(", ")}]`,
    {
      at: path,
      next:
        found.length === 2 && found[1] === shape[1]
          ? "The vocabularies differ: load it on a model with the tokens that were added."
          : "Load it on the model that it was trained on.",
    },
  );
}

const [embeddingsName, headName] = ["model.embed_tokens.weight", "lm_head.weight"] as const;

/** Whole weights. Where the base shares one matrix, both of PEFT's copies must be that matrix. */
async function readReplaced(
  names: readonly string[],
  store: WeightStore,
  { config }: ReadAdapterConfig,
  base: Pick<WeightStore, "find" | "names">,
  path: string,
): Promise<Map<string, Tensor<"float32">>> {
  const replaced = new Map<string, Tensor<"float32">>();
  for (const name of names) {
    const shape = base.find(name)?.shape;
    if (shape !== undefined) replaced.set(name, await readAs(name, shape, store, path));
    else if (name !== headName) {
      throw new UserError(`the adapter brings ${name}, which the base model does not have`, {
        at: path,
        next: "Load it on the model that it was trained on.",
      });
    }
  }
  if (names.includes(headName) && !replaced.has(headName)) {
    const table = replaced.get(embeddingsName);
    const head = await readFinite(`${prefix}${headName}`, store, path);
    if (table === undefined || !sameValues(table.data, head.data)) {
      throw new UserError(
        "the adapter brings an lm_head of its own, but the base model uses its embedding matrix there",
        {
          at: path,
          next: "Train it again with ensure_weight_tying, or merge it with PEFT into a model that is not tied.",
        },
      );
    }
  }
  for (const end of config.modulesToSave ?? []) {
    if (names.some((name) => name.slice(0, name.lastIndexOf(".")).endsWith(end))) continue;
    throw new UserError(`modules_to_save names ${JSON.stringify(end)}, but its weights are missing`, {
      at: path,
      next: "Fetch the adapter again.",
    });
  }
  return replaced;
}

function sameValues(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

async function readTokenRows(
  modules: readonly string[],
  store: WeightStore,
  { tokenIndices }: ReadAdapterConfig,
  base: Pick<WeightStore, "find" | "names">,
  path: string,
): Promise<Map<string, TokenRows>> {
  const rows = new Map<string, TokenRows>();
  for (const module of modules) {
    const name = `${module}.weight`;
    const shape = base.find(name)?.shape;
    const ids = [...tokenIndices].find(([end]) => module.endsWith(end))?.[1];
    if (shape?.length !== 2 || ids === undefined) {
      throw new UserError(
        shape === undefined
          ? `the adapter brings rows of ${name}, which the base model does not have`
          : `trainable_token_indices does not say which rows of ${module} the adapter brings`,
        { at: path, next: "Load it on the model that it was trained on." },
      );
    }
    const beyond = ids.find((id) => id >= shape[0]!);
    if (beyond !== undefined) {
      throw new UserError(
        `the adapter brings a row for token ${beyond}, but the base model's vocabulary has ${shape[0]}`,
        { at: path, next: "Load it on a model with the tokens that were added." },
      );
    }
    const values = await readAs(
      `${module}.token_adapter.trainable_tokens_delta`,
      [ids.length, shape[1]!],
      store,
      path,
    );
    rows.set(name, { ids, values });
  }
  return rows;
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
