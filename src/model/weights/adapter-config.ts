/** `adapter_config.json` of PEFT: what is read from it, what is written into it, and what is refused by name. */
import { z } from "zod";
import { UserError } from "../../util/index.ts";

export interface AdapterConfig {
  /** R of every layer that has no rank of its own. */
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** Scale by alpha / √R instead of alpha / R (rsLoRA, Kalajdzievski 2023). */
  readonly rsLora: boolean;
  /** Each row of W + s·BA is brought to a magnitude of its own (DoRA, Liu et al. 2024). */
  readonly dora?: boolean;
  /** Ends of the names of modules that are saved whole, as PEFT matches them. */
  readonly modulesToSave?: readonly string[];
  /** The base's vocabulary product uses its embedding matrix, and goes on doing so when that is saved. */
  readonly tied?: boolean;
  /** Ends of module names, such as `q_proj`; whole names where only some layers are adapted. */
  readonly targetModules: readonly string[];
  readonly baseModel?: string;
  readonly baseRevision?: string;
}

export interface ReadAdapterConfig {
  readonly config: Omit<AdapterConfig, "targetModules">;
  /** Absent where the file gives a regular expression or limits the layers: then the tensors decide. */
  readonly targetModules?: readonly string[];
  /** Module name ends with their own rank or alpha. */
  readonly rankPattern: ReadonlyMap<string, number>;
  readonly alphaPattern: ReadonlyMap<string, number>;
  /** Tokens whose rows the adapter brings, by the end of the module's name. */
  readonly tokenIndices: ReadonlyMap<string, readonly number[]>;
}

const names = z.array(z.string().min(1).max(1000)).max(10_000);
const tokenIds = z.array(z.int().min(0).max(16_777_215)).max(1_000_000);
const pattern = z.record(z.string(), z.number().gt(0).max(1e9)).nullish();
const schema = z.looseObject({
  peft_type: z.string(),
  task_type: z.string().nullish(),
  r: z.int().min(1).max(65_536),
  lora_alpha: z.number().gt(0).max(1e9),
  lora_dropout: z.number().min(0).lt(1).nullish(),
  target_modules: z.union([z.string(), z.array(z.string()).max(100_000)]).nullish(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  modules_to_save: names.nullish(),
  trainable_token_indices: z.union([tokenIds, z.record(z.string(), tokenIds)]).nullish(),
  ensure_weight_tying: z.boolean().nullish(),
  base_model_name_or_path: z.string().nullish(),
  revision: z.string().nullish(),
  bias: z.string().nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
  layers_to_transform: z.union([z.int(), z.array(z.int())]).nullish(),
  exclude_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  rank_pattern: pattern,
  alpha_pattern: pattern,
});

/** Keys that do not change what a trained adapter computes, whatever they hold. */
const harmless = new Set([
  ...Object.keys(schema.shape),
  "auto_mapping",
  "eva_config",
  "inference_mode",
  "layers_pattern",
  "loftq_config",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "runtime_config",
]);

/** Initialisations that alter the base weights too: the adapter alone is then not the difference. */
const alteringInit = /^(pissa|olora|loftq|corda|lora_ga)/i;

/** Reads the parsed file; `at` is its path. */
export function readAdapterConfig(value: unknown, at: string): ReadAdapterConfig {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const key = issue.path.join(".") || "the file";
    const missing = issue.message.endsWith("received undefined");
    const held = JSON.stringify((value as Record<string, unknown> | null)?.[String(issue.path[0])])?.slice(
      0,
      60,
    );
    throw new UserError(missing ? `${key} is missing` : `${key} is ${held}: ${issue.message}`, {
      at,
      next: "Take the adapter_config.json that was saved with the adapter.",
    });
  }
  const c = parsed.data;
  const refuse = (what: string): never => {
    throw new UserError(`the adapter uses ${what}, which is not supported`, {
      at,
      next: "Only LoRA, rsLoRA and DoRA adapters can be loaded; merge this one with PEFT instead.",
    });
  };
  if (c.peft_type.toUpperCase() !== "LORA") refuse(`peft_type ${JSON.stringify(c.peft_type.slice(0, 40))}`);
  if (!["CAUSAL_LM", null, undefined].includes(c.task_type))
    refuse(`task_type ${JSON.stringify(c.task_type)}`);
  if ((c.bias ?? "none") !== "none") refuse(`bias ${JSON.stringify(c.bias)}`);
  if (typeof c.init_lora_weights === "string" && alteringInit.test(c.init_lora_weights)) {
    refuse(`init_lora_weights ${JSON.stringify(c.init_lora_weights)}, which alters the base model`);
  }
  for (const [key, held] of Object.entries(c)) {
    if (!harmless.has(key) && !isNeutral(held)) refuse(`${key} ${JSON.stringify(held)?.slice(0, 60)}`);
  }
  const partial = !isNeutral(c.layers_to_transform) || !isNeutral(c.exclude_modules);
  const targets = Array.isArray(c.target_modules) && !partial ? [...c.target_modules].sort() : undefined;
  return {
    config: {
      rank: c.r,
      alpha: c.lora_alpha,
      dropout: c.lora_dropout ?? 0,
      rsLora: c.use_rslora ?? false,
      ...(c.use_dora === true ? { dora: true } : {}),
      ...(isNeutral(c.modules_to_save) ? {} : { modulesToSave: c.modules_to_save! }),
      ...(c.ensure_weight_tying === true ? { tied: true } : {}),
      ...(c.base_model_name_or_path ? { baseModel: c.base_model_name_or_path } : {}),
      ...(c.revision ? { baseRevision: c.revision } : {}),
    },
    ...(targets === undefined ? {} : { targetModules: targets }),
    rankPattern: readPattern("rank_pattern", c.rank_pattern, at),
    alphaPattern: readPattern("alpha_pattern", c.alpha_pattern, at),
    tokenIndices: readTokenIndices(c.trainable_token_indices),
  };
}

function isNeutral(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** PEFT reads the keys as regular expressions; only plain names are supported, since a foreign expression may never end. */
function readPattern(
  key: string,
  value: Readonly<Record<string, number>> | null | undefined,
  at: string,
): ReadonlyMap<string, number> {
  const entries = Object.entries(value ?? {});
  for (const [name] of entries) {
    if (/^\^?[\w.]+$/.test(name)) continue;
    throw new UserError(`${key} holds the regular expression ${JSON.stringify(name.slice(0, 60))}`, {
      at,
      next: "Only plain module names such as q_proj or model.layers.0.self_attn.q_proj are supported.",
    });
  }
  return new Map(entries);
}

/** A plain list is about the embeddings. */
function readTokenIndices(
  value: readonly number[] | Readonly<Record<string, readonly number[]>> | null | undefined,
): ReadonlyMap<string, readonly number[]> {
  if (value === null || value === undefined) return new Map();
  return Array.isArray(value)
    ? new Map([["embed_tokens", value as readonly number[]]])
    : new Map(Object.entries(value as Readonly<Record<string, readonly number[]>>));
}

/** The value of the first pattern that `module` matches: the whole name, or its end after a dot; `^` binds it to the start. */
export function patternValue(patterns: ReadonlyMap<string, number>, module: string): number | undefined {
  for (const [name, value] of patterns) {
    const plain = name.replace(/^\^/, "");
    if (module === plain || (plain === name && module.endsWith(`.${plain}`))) return value;
  }
  return undefined;
}

/** The file's content, with every key that PEFT needs to load it. */
export function writeAdapterConfig(
  config: AdapterConfig,
  rankPattern: ReadonlyMap<string, number>,
  alphaPattern: ReadonlyMap<string, number>,
  tokenIndices: ReadonlyMap<string, readonly number[]> = new Map(),
): string {
  return `${JSON.stringify(
    {
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      base_model_name_or_path: config.baseModel ?? null,
      revision: config.baseRevision ?? null,
      r: config.rank,
      lora_alpha: config.alpha,
      lora_dropout: config.dropout,
      target_modules: [...config.targetModules].sort(),
      use_rslora: config.rsLora,
      use_dora: config.dora ?? false,
      bias: "none",
      fan_in_fan_out: false,
      inference_mode: true,
      init_lora_weights: true,
      layers_to_transform: null,
      layers_pattern: null,
      modules_to_save: config.modulesToSave ?? null,
      ...(config.tied === true ? { ensure_weight_tying: true } : {}),
      ...(tokenIndices.size === 0 ? {} : { trainable_token_indices: Object.fromEntries(tokenIndices) }),
      rank_pattern: Object.fromEntries(rankPattern),
      alpha_pattern: Object.fromEntries(alphaPattern),
    },
    undefined,
    2,
  )}\n`;
}
