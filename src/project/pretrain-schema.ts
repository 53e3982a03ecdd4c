/** The configuration of `attune pretrain`: corpus, tokenizer, the shape of the model, and how it is trained. */
import { join } from "node:path";
import { z } from "zod";
import { type TrainConfig, sharedSections, trainConfigSchema } from "./schema.ts";

const { optimizer, schedule, evaluation, checkpoint, runtime, numbers, share, steps } = sharedSections;
const paths = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);
const size = (most: number) => z.int().min(1).max(most);

/** A single value stands for the one key of a section. */
const shortFor = <S extends z.ZodType>(key: string, section: S) =>
  z.preprocess(
    (value) => (typeof value === "string" || Array.isArray(value) ? { [key]: value } : value),
    section,
  );

export const pretrainConfigSchema = z.strictObject({
  data: shortFor(
    "train",
    z.strictObject({
      train: paths.describe("text files, JSON lines with a `text` each, dialogues; folders and globs too"),
      validation: paths.optional().describe("the same to measure on; absent: a share of the documents"),
      validationShare: share
        .lt(1)
        .default(0.01)
        .describe("share of the corpus held out when `validation` is absent"),
      fields: z.record(z.string(), z.string()).optional().describe("own field names, such as `text: body`"),
    }),
  ).describe("what to train on; a single path stands for `train`"),
  out: z.string().min(1).optional().describe("the run's folder; absent: runs/ and a name made of the data"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(42)
    .describe("decides initial values and order"),
  tokenizer: shortFor(
    "from",
    z.strictObject({
      from: z
        .string()
        .min(1)
        .optional()
        .describe(
          "a tokenizer.json, or the model folder that holds one; absent: one is trained on the corpus",
        ),
      vocabulary: z.int().min(300).max(1_000_000).default(8192).describe("V, of a tokenizer that is trained"),
      reserved: z.int().min(0).max(1000).default(0).describe("special tokens without a meaning yet"),
      maxHanCharacters: size(64).default(4).describe("most Chinese characters in one token"),
      maxBytes: z.int().min(2).max(256).default(24).describe("most bytes in one token"),
    }),
  )
    .prefault({})
    .describe("byte-level byte-pair encoding; a single path stands for `from`"),
  shape: z
    .strictObject({
      hiddenSize: size(65_536).default(256).describe("D, the width of the model"),
      layers: size(1024).default(6),
      heads: size(4096).default(4).describe("H"),
      kvHeads: size(4096).optional().describe("K, which divides H; absent: H"),
      headWidth: size(4096).optional().describe("E, even; absent: D / H"),
      mlpWidth: size(1_048_576).optional().describe("F; absent: 8 D / 3, rounded up to a multiple of 64"),
      context: z
        .int()
        .min(8)
        .max(1_048_576)
        .default(512)
        .describe("most tokens that the model is made to see"),
      tiedEmbeddings: z.boolean().default(true).describe("embeddings and vocabulary product share a matrix"),
      ropeTheta: z.number().gt(1).max(1e12).default(10_000),
      normEpsilon: z.number().gt(0).lt(1).default(1e-5),
    })
    .prefault({}),
  initial: z
    .strictObject({
      deviation: z.number().gt(0).max(1).default(0.02).describe("of the normal distribution of matrices"),
      scaledResiduals: z
        .boolean()
        .default(true)
        .describe("projections back into the residual stream start smaller by 1/√(2 · layers)"),
    })
    .prefault({}),
  training: z
    .strictObject({
      epochs: z.number().gt(0).max(10_000).default(1),
      steps: steps.optional().describe("optimiser steps; wins over epochs"),
      batchTokens: size(16_777_216).default(8192).describe("tokens in one optimiser step"),
      microTokens: z.int().min(16).max(1_048_576).default(2048).describe("most tokens computed at once"),
      maxLength: z
        .int()
        .min(8)
        .max(1_048_576)
        .optional()
        .describe(
          "longest sequence in tokens; longer documents are read in pieces; absent: the model's context",
        ),
      ...numbers,
    })
    .prefault({}),
  optimizer: optimizer
    .omit({ loraPlusRatio: true })
    .extend({
      learningRate: z.number().gt(0).max(1).default(1e-3),
      weightDecay: z.number().min(0).max(1).default(0.1),
      decay: optimizer.shape.decay.unwrap().default("matrices").describe("what weight decay applies to"),
      beta2: z.number().min(0).lt(1).default(0.95),
    })
    .prefault({}),
  schedule: schedule.prefault({}),
  evaluation: evaluation
    .omit({ probes: true })
    .extend({
      every: steps
        .optional()
        .describe("steps between evaluations; absent: a twentieth of the run, at most 500"),
      patience: size(1_000_000)
        .default(1_000_000)
        .describe("evaluations without improvement before stopping"),
    })
    .prefault({}),
  checkpoint: checkpoint.prefault({}),
  runtime: runtime.prefault({}),
});

export type PretrainConfig = z.output<typeof pretrainConfigSchema>;

/** The subfolder of a run in which its tokenizer, the model's description and the corpus stand. */
export const startFolder = "start";

/** The run's configuration as every command that takes a run reads it. */
export function trainConfigOf(config: PretrainConfig, folder: string): TrainConfig {
  const { seed, shape, training, optimizer: update, schedule: rates, evaluation: judging } = config;
  const start = join(folder, startFolder);
  return trainConfigSchema.parse({
    model: start,
    data: { train: start, validationShare: config.data.validationShare },
    out: folder,
    method: "pretrain",
    seed,
    training: { ...training, maxLength: training.maxLength ?? shape.context, fold: false },
    optimizer: update,
    schedule: rates,
    evaluation: { ...judging, probes: 0 },
    checkpoint: config.checkpoint,
    runtime: config.runtime,
  });
}
