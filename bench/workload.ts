/** What both sides of the training benchmark work on: one model, one initial adapter, the same batches. */
import { access, copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelSpec, Sequence } from "../src/model/decoder/index.ts";
import { openChatModel } from "../src/model/index.ts";
import { type WeightStore, openSafetensors, toWrite, writeSafetensors } from "../src/model/weights/index.ts";
import { parameterLayout, parameterViews } from "../src/model/nn/index.ts";
import { prepareRun, trainConfigSchema } from "../src/project/index.ts";
import { adaptedLayers, initialAdapter, loraParameters } from "../src/train/index.ts";
import { float32 } from "../src/compute/tensor/index.ts";
import { UserError, readJsonLines, writeFileAtomic } from "../src/util/index.ts";
import { type IntegerArray, readNpz } from "./npz.ts";

/** Token ids of one row and how much each counts as a target. */
export interface Row {
  readonly ids: readonly number[];
  /** Positions that are targets, each to be predicted from the tokens before it. */
  readonly targets: readonly number[];
}

/** `batches.json` in the work folder. */
export interface Batches {
  /** `dense`: rows of one length, run as one batch; `curve`: real rows, run in micro-batches sorted by length. */
  readonly kind: "dense" | "curve";
  readonly training: readonly (readonly Row[])[];
  readonly validation: readonly (readonly Row[])[];
}

export interface WorkloadOptions {
  /** Folder or .gguf file. */
  readonly model: string;
  /** Rows × tokens of a dense batch. */
  readonly dense: { readonly rows: number; readonly tokens: number };
  /** Folder with batches.npz and lora_init.safetensors; then `dense` is not used. */
  readonly curve?: string;
  /** Dialogues as `attune train` reads them, unfolded, `batch` replies a step; then neither `dense` nor `curve` is used. */
  readonly data?: { readonly file: string; readonly batch: number; readonly maxLength: number };
  /** Of the order of `data` and of the initial adapter. */
  readonly seed: number;
  /** JSON lines with `context` and `response` that dense rows are cut from. */
  readonly text: string;
  readonly batches: number;
  readonly validation: boolean;
  readonly rank: number;
  readonly targets: readonly string[];
  /** Where work folders are kept. */
  readonly cache: string;
}

export interface Workload {
  readonly folder: string;
  readonly batches: Batches;
}

/** Writes model, adapter and batches where both sides read them; the model is written once. */
export async function prepareWorkload(options: WorkloadOptions): Promise<Workload> {
  const model = await openChatModel(options.model);
  try {
    const folder = join(options.cache, model.opened.fingerprint.slice(0, 16));
    await writeModel(folder, model.opened.folder, model.spec, model.store, model.opened.file === undefined);
    const batches =
      options.data !== undefined
        ? await dataBatches(options.data, options)
        : options.curve === undefined
          ? await denseBatches(options, (text) => model.renderer.tokenizer.encode(text))
          : await curveBatches(join(options.curve, "batches.npz"), options);
    await writeFileAtomic(join(folder, "batches.json"), JSON.stringify(batches));
    await writeAdapter(join(folder, "adapter.safetensors"), model.spec, options);
    return { folder, batches };
  } finally {
    await model.close();
  }
}

async function writeModel(
  folder: string,
  source: string,
  spec: ModelSpec,
  store: WeightStore,
  hasConfig: boolean,
): Promise<void> {
  await mkdir(join(folder, "model"), { recursive: true });
  const weights = join(folder, "model", "model.safetensors");
  if (
    await access(weights).then(
      () => true,
      () => false,
    )
  )
    return;
  if (hasConfig) await copyFile(join(source, "config.json"), join(folder, "model", "config.json"));
  else await writeFileAtomic(join(folder, "model", "config.json"), JSON.stringify(configOf(spec), null, 2));
  await writeSafetensors(
    weights,
    store.names().map((name) => ({
      name,
      shape: store.info(name).shape,
      storage: "F32" as const,
      read: () => store.read(name),
    })),
    { format: "pt" },
  );
}

/** The config.json that transformers reads, for a model that came without one. */
function configOf(spec: ModelSpec): Record<string, unknown> {
  if (spec.rope.scaling.kind !== "none") {
    throw new UserError(
      "this GGUF stretches its rotary frequencies; the benchmark cannot describe that to PyTorch",
      {
        next: "Give the model as a folder with config.json.",
      },
    );
  }
  return {
    architectures: [spec.architecture],
    model_type: spec.family,
    hidden_size: spec.hiddenSize,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.kvHeads,
    head_dim: spec.headWidth,
    intermediate_size: spec.mlpWidth,
    vocab_size: spec.vocabulary,
    rms_norm_eps: spec.normEpsilon,
    rope_theta: spec.rope.theta,
    max_position_embeddings: spec.contextLength,
    attention_bias: spec.attentionBias.output,
    mlp_bias: spec.mlpBias,
    tie_word_embeddings: spec.tiedEmbeddings,
    hidden_act: "silu",
    bos_token_id: spec.bosId ?? null,
    eos_token_id: spec.eosIds[0] ?? null,
  };
}

/** PEFT's names and orientation, from the curve's file or drawn as PEFT draws them. */
async function writeAdapter(path: string, spec: ModelSpec, options: WorkloadOptions): Promise<void> {
  const layout = parameterLayout(loraParameters(adaptedLayers(spec, options.targets), options.rank));
  const peftName = (name: string): string => `base_model.model.${name}`;
  if (options.curve === undefined) {
    const views = parameterViews(layout, initialAdapter(layout, options.seed));
    await writeSafetensors(
      path,
      layout.entries.map(({ name, shape }) => toWrite(peftName(name), float32(shape, views.get(name)!))),
    );
    return;
  }
  const { store } = await openSafetensors(join(options.curve, "lora_init.safetensors"));
  try {
    await writeSafetensors(
      path,
      await Promise.all(
        layout.entries.map(async ({ name }) =>
          toWrite(peftName(name), await store.read(peftName(name).replace(/\.weight$/, ".default.weight"))),
        ),
      ),
    );
  } finally {
    await store.close();
  }
}

/** Consecutive cuts of one stream of real text; the second half of each row is supervised. */
async function denseBatches(
  { dense: { rows, tokens }, text, batches }: WorkloadOptions,
  encode: (text: string) => number[],
): Promise<Batches> {
  const needed = rows * tokens * batches;
  const ids: number[] = [];
  for await (const { value } of readJsonLines(text)) {
    const row = value as { context?: unknown; response?: unknown };
    ids.push(...encode(`${lastText(row.context)} ${String(row.response)}\n`));
    if (ids.length >= needed) break;
  }
  if (ids.length === 0) throw new UserError(`${text} holds no text`, { next: "Give another --text FILE." });
  const targets = Array.from({ length: tokens >> 1 }, (_, i) => tokens - (tokens >> 1) + i);
  const row = (index: number): Row => ({
    ids: Array.from({ length: tokens }, (_, t) => ids[(index * tokens + t) % ids.length]!),
    targets,
  });
  const training = Array.from({ length: batches }, (_, b) =>
    Array.from({ length: rows }, (_, r) => row(b * rows + r)),
  );
  return { kind: "dense", training, validation: [] };
}

function lastText(context: unknown): string {
  if (typeof context === "string") return context;
  const last: unknown = Array.isArray(context) ? context.at(-1) : undefined;
  if (typeof last === "string") return last;
  return typeof last === "object" && last !== null && "content" in last ? String(last.content) : "";
}

export function rowOf({ ids, weights }: Sequence): Row {
  const targets = Array.from(weights).flatMap((weight, t) => (weight > 0 ? [t] : []));
  return { ids: Array.from(ids), targets };
}

/** Rows as a run without folding reads them; 40 held-out ones to validate on. */
async function dataBatches(
  { file, batch, maxLength }: NonNullable<WorkloadOptions["data"]>,
  { model, seed, batches, validation }: WorkloadOptions,
): Promise<Batches> {
  await using prepared = await prepareRun(
    trainConfigSchema.parse({
      model,
      data: { train: file, validationShare: 0.1 },
      seed,
      training: { batch, maxLength, fold: false },
    }),
  );
  const { training, validation: held } = prepared.plan;
  const rows = (held[0]?.microBatches ?? []).flat().map(rowOf);
  // Of all lengths: they come sorted.
  const every = Math.max(1, Math.floor(rows.length / 40));
  const sample = rows.filter((_, i) => i % every === 0).slice(0, 40);
  return {
    kind: "curve",
    training: Array.from({ length: batches }, (_, step) =>
      training.batch(step).microBatches.flat().map(rowOf),
    ),
    validation: validation
      ? Array.from({ length: Math.ceil(sample.length / 10) }, (_, i) => sample.slice(10 * i, 10 * i + 10))
      : [],
  };
}

async function curveBatches(path: string, options: WorkloadOptions): Promise<Batches> {
  const arrays = await readNpz(path);
  const all = (prefix: string): (readonly Row[])[] =>
    [...arrays.keys()]
      .filter((name) => name.startsWith(prefix) && name.endsWith("_ids"))
      .sort()
      .map((name) => {
        const part = (suffix: string): IntegerArray => arrays.get(name.replace(/_ids$/, suffix))!;
        return rowsOf(part("_ids"), part("_labels"), part("_mask"));
      });
  const training = all("train").slice(0, options.batches);
  if (training.length < options.batches)
    throw new UserError(`${path} holds ${training.length} batches; ${options.batches} are needed`, {
      next: "Ask for fewer --steps.",
    });
  return { kind: "curve", training, validation: options.validation ? all("val") : [] };
}

function rowsOf(ids: IntegerArray, labels: IntegerArray, mask: IntegerArray): Row[] {
  const [count, width] = ids.shape as [number, number];
  return Array.from({ length: count }, (_, r) => {
    const row: { ids: number[]; targets: number[] } = { ids: [], targets: [] };
    for (let t = 0; t < width; t++) {
      if (mask.data[r * width + t] !== 1) break;
      row.ids.push(ids.data[r * width + t]!);
      if (labels.data[r * width + t] !== -100) row.targets.push(t);
    }
    return row;
  });
}

export async function readBatches(folder: string, name = "batches.json"): Promise<Batches> {
  return JSON.parse(await readFile(join(folder, name), "utf8")) as Batches;
}

/** The size of a dense batch as an option gives it: `4x256`. */
export function denseSize(text: string, option: string): WorkloadOptions["dense"] {
  const match = /^(\d+)[x×](\d+)$/.exec(text);
  if (match === null)
    throw new UserError(`${option} is ${JSON.stringify(text)}; it must be rows x tokens`, {
      next: `For example ${option} 4x256.`,
    });
  return { rows: Number(match[1]), tokens: Number(match[2]) };
}
