/** The one description of a training configuration: type, defaults, bounds and help in one place. */
import { z } from "zod";
import { memorySize } from "./memory-size.ts";

const share = z.number().min(0).max(1);
const steps = z.int().min(1).max(1_000_000_000);

const dataFiles = z
  .strictObject({
    train: z.string().min(1).describe("JSON lines to learn from, or a folder made by `attune data prepare`"),
    validation: z
      .string()
      .min(1)
      .optional()
      .describe("JSON lines to measure on; absent: a share of the training conversations"),
    validationShare: share
      .default(0.1)
      .describe("share of the conversations held out when `validation` is absent"),
    longShare: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe("wanted share of training rows of more than five turns; long ones are repeated to reach it"),
    fields: z
      .record(z.string(), z.string())
      .optional()
      .describe("own field names, such as `context: dialogue_history`"),
  })
  .describe("what to train on; a single path stands for `train`");

const optimizer = z.strictObject({
  learningRate: z.number().gt(0).max(1).default(3e-4),
  weightDecay: z.number().min(0).max(1).default(0.01),
  decay: z
    .enum(["all", "matrices"])
    .default("all")
    .describe("what weight decay applies to: all parameters, or matrices and neither norms nor biases"),
  clipNorm: z.number().gt(0).default(1).describe("largest norm of the gradient"),
  loraPlusRatio: z
    .number()
    .min(1)
    .max(1000)
    .default(1)
    .describe("how many times faster B learns than A (LoRA+); 1 treats them alike"),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.999),
  epsilon: z.number().gt(0).default(1e-8),
});

const schedule = z.strictObject({
  kind: z.enum(["constant", "linear", "cosine", "wsd"]).default("cosine"),
  warmupShare: share.default(0.03).describe("share of all steps over which the rate rises"),
  warmupSteps: z.int().min(0).optional().describe("the same in steps; wins over the share"),
  decayShare: share
    .default(0.25)
    .describe(
      "share of all steps, the last ones, over which the rate falls to 0; for wsd (warm-up, stable, decay)",
    ),
});

const evaluation = z.strictObject({
  every: steps.optional().describe("steps between evaluations; absent: twice an epoch"),
  patience: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(3)
    .describe("evaluations without improvement before stopping"),
  minDelta: z.number().min(0).default(0).describe("how much lower a loss must be to count"),
  probes: z
    .int()
    .min(0)
    .max(32)
    .default(2)
    .describe("held-out customers whose replies are shown at each evaluation; 0 turns it off"),
});

const checkpoint = z.strictObject({
  every: steps.optional().describe("steps between checkpoints; absent: as often as evaluations"),
  keep: z.int().min(1).max(1000).default(2),
});

const runtime = z.strictObject({
  threads: z.int().min(1).max(1024).optional().describe("absent: the machine's physical cores"),
  provider: z.enum(["cpu", "cuda", "webgpu", "dml", "coreml"]).default("cpu"),
  memory: memorySize
    .optional()
    .describe("most memory that the run may take, such as 3GiB; absent: what is free when it starts"),
});

/** How numbers are computed, kept and saved, and what is dropped on the way. */
const numbers = {
  dropout: z
    .strictObject({
      residual: z
        .number()
        .min(0)
        .max(0.9)
        .default(0)
        .describe("share of what attention and MLP add to the residual stream that is dropped"),
      attention: z
        .number()
        .min(0)
        .max(0.9)
        .default(0)
        .describe("share of attention's probabilities that is dropped"),
    })
    .prefault({}),
  saveAs: z
    .enum(["float32", "bfloat16", "float16"])
    .default("float32")
    .describe("how a whole model is saved, by the methods full and pretrain"),
  precision: z
    .enum(["float32", "fp16", "bf16"])
    .default("float32")
    .describe("format of matrix products; norms, softmax, loss and the adapter stay float32"),
  activations: z
    .enum(["float32", "float16"])
    .default("float32")
    .describe("how values are kept for the backward pass"),
  checkpointing: z
    .enum(["none", "attention", "blocks"])
    .default("none")
    .describe(
      "activations computed again in the backward pass: less memory, more time; without it where memory is short",
    ),
};

/** What fine-tuning and pre-training have in common. */
export const sharedSections = { optimizer, schedule, evaluation, checkpoint, runtime, numbers, share, steps };

export const trainConfigSchema = z.strictObject({
  model: z.string().min(1).describe("a model folder, a .gguf file, or owner/name[@revision] on the hub"),
  data: z.preprocess((value) => (typeof value === "string" ? { train: value } : value), dataFiles),
  out: z
    .string()
    .min(1)
    .optional()
    .describe("the run's folder; absent: runs/ and a name made of model and data"),
  method: z
    .enum(["lora", "full", "pretrain"])
    .default("lora")
    .describe(
      "lora trains an adapter, full every weight, pretrain (attune pretrain) every weight from scratch",
    ),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(42)
    .describe("decides initial values, order and dropout"),
  lora: z
    .strictObject({
      rank: z.int().min(1).max(256).default(16).describe("R, the inner width of the adapter"),
      alpha: z.number().gt(0).max(4096).default(32).describe("the update is scaled by alpha / rank"),
      dropout: z
        .number()
        .min(0)
        .max(0.9)
        .default(0.1)
        .describe("share of the adapter's input that is dropped"),
      targets: z
        .union([z.string().min(1).max(1000), z.array(z.string().min(1)).min(1)])
        .default(["q_proj", "v_proj"])
        .describe(
          "linear layers by the end of their name, all-linear, or a regular expression of whole names",
        ),
      rsLora: z.boolean().default(false).describe("scale by alpha / √rank instead"),
      dora: z
        .boolean()
        .default(false)
        .describe("learn the length of each row apart from its direction (DoRA)"),
      modulesToSave: z
        .array(z.string().min(1))
        .default([])
        .describe("modules trained and saved whole beside the adapter, such as embed_tokens, lm_head, norm"),
      from: z.string().min(1).optional().describe("the folder of an adapter to go on from, in PEFT's format"),
    })
    .prefault({}),
  training: z
    .strictObject({
      epochs: z
        .number()
        .gt(0)
        .max(10_000)
        .default(3)
        .describe("passes over the data, unless `steps` is given"),
      steps: steps.optional().describe("optimiser steps"),
      batch: z.int().min(1).max(65_536).default(16).describe("replies in one optimiser step"),
      batchTokens: z
        .int()
        .min(1)
        .max(16_777_216)
        .optional()
        .describe("tokens in one optimiser step, instead of `batch` replies"),
      microTokens: z
        .int()
        .min(16)
        .max(1_048_576)
        .default(700)
        .describe("most tokens computed at once; without it fewer than 700 where memory is short"),
      lanes: z
        .int()
        .min(1)
        .max(64)
        .optional()
        .describe(
          "micro-batches computed at once, each with its share of threads and microTokens; absent: 2 for an int8 base with two threads or more, unless memory is short, else 1",
        ),
      maxLength: z
        .int()
        .min(8)
        .max(1_048_576)
        .optional()
        .describe("longest sequence in tokens; absent: 1,024 or the model's limit"),
      fold: z.boolean().default(true).describe("read rows that begin like one another once"),
      slidingWindow: z
        .int()
        .min(8)
        .max(1_048_576)
        .optional()
        .describe("tokens that a layer sees back, in training and use alike; absent: as the model says"),
      base: z
        .enum(["float32", "int8", "llm-int8", "int4", "nf4", "stored"])
        .default("float32")
        .describe(
          "how the frozen linear layers are held: int8 and llm-int8 in a quarter of the memory with 8-bit products, int4 and nf4 in a seventh with exact ones, stored as the blocks of a GGUF file",
        ),
      backward: z
        .enum(["float32", "int8"])
        .optional()
        .describe("products of the backward pass; absent: int8 for an int8 base, else float32"),
      blockSize: z
        .literal([32, 64, 128])
        .default(64)
        .describe("weights that share a scale, for the bases int4 and nf4"),
      neftune: z
        .number()
        .min(0)
        .max(1000)
        .default(0)
        .describe("strength of the noise on embeddings in training (NEFTune; 5 is usual); 0 turns it off"),
      ...numbers,
    })
    .prefault({}),
  optimizer: optimizer.prefault({}),
  schedule: schedule.prefault({}),
  evaluation: evaluation.prefault({}),
  checkpoint: checkpoint.prefault({}),
  template: z
    .strictObject({
      separator: z
        .string()
        .min(1)
        .max(64)
        .optional()
        .describe("a token written between turns, such as <sep>"),
      keepFirstTurns: z
        .int()
        .min(0)
        .max(100)
        .default(0)
        .describe("exchanges at the beginning that stay, with system messages, when older turns must go"),
    })
    .prefault({}),
  runtime: runtime.prefault({}),
});

export type TrainConfig = z.output<typeof trainConfigSchema>;
