/** What `attune data prepare` can be told: one schema gives the type, the defaults and the checks. */
import { z } from "zod";
import { CleanConfig } from "../clean/index.ts";

const share = z.number().min(0).max(1);

const sourceSchema = z.union([
  z.string().min(1),
  z.strictObject({
    /** A file, a folder, a glob, or - for standard input. */
    path: z.string().min(1),
    /** Forces a layout for this source alone. */
    format: z.string().optional(),
    fields: z.record(z.string(), z.string()).optional(),
    /** This source's weight in the training mix; the others' is 1. Without any weight nothing is mixed. */
    weight: z.number().min(0).max(1e6).optional(),
  }),
]);

/** Shares of the replies that are learned or measured, by whole conversations. */
const fractionsSchema = z
  .strictObject({
    train: z.number().gt(0).max(1).default(0.8),
    validation: share.default(0.1),
    test: share.default(0.1),
  })
  .refine(({ train, validation, test }) => Math.abs(train + validation + test - 1) < 1e-6, {
    error: "train, validation and test must sum to 1",
  });

const shapeSchema = z.strictObject({
  split: fractionsSchema.prefault({}),
  balance: z
    .strictObject({
      /** `drop` leaves examples of frequent intents out, `weight` scales the loss, `off` only reports. */
      method: z.enum(["drop", "weight", "off"]).default("drop"),
      /** The largest share an intent may have in train. */
      maxShare: z.number().gt(0).max(1).default(0.3),
      /** Leaving out more than this share gives way to weights. */
      maxLoss: share.default(0.5),
      maxWeight: z.number().min(1).default(10),
    })
    .prefault({}),
  long: z
    .strictObject({
      /** An example is long when it has more exchanges than this. */
      overTurns: z.int().min(1).max(1000).default(5),
      /** Wanted share of long examples in train; absent: only shown. */
      share: z.number().gt(0).lt(1).optional(),
    })
    .prefault({}),
  mix: z.enum(["repeat", "drop"]).default("repeat"),
  /** No example stands more often than this, whatever asks for copies. */
  maxCopies: z.int().min(1).max(1000).default(10),
});

export const dataConfigSchema = z.strictObject({
  sources: z.array(sourceSchema).min(1),
  format: z.string().optional(),
  fields: z.record(z.string(), z.string()).optional(),
  /** One example a conversation with every reply supervised, or one example a reply. */
  examples: z.enum(["conversation", "reply"]).default("conversation"),
  clean: CleanConfig.prefault({}),
  shape: shapeSchema.prefault({}),
  /** Decides every choice that is left to chance. */
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(42),
  out: z.string().min(1),
});

/** As written: everything with a default may be left out. */
export type DataConfigInput = z.input<typeof dataConfigSchema>;
export type DataConfig = z.output<typeof dataConfigSchema>;
