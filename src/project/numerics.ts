/** Mixed precision as a configuration asks for it, as far as the provider has it, and what it gains there. */
import type { HalfBase } from "../model/decoder/index.ts";
import { type Numerics, halfTypes } from "../train/index.ts";
import { UserError, formatBytes } from "../util/index.ts";
import type { TrainConfig } from "./schema.ts";

type Config = Pick<TrainConfig, "runtime" | "training" | "lora" | "method">;

/** Providers whose graphs may hold bfloat16 products; of the others none has kernels for it. */
const withBfloat16: ReadonlySet<string> = new Set(["cpu", "cuda"]);

/** What cannot be is a `UserError`. */
export function numericsOf({ runtime: { provider }, training }: Config): Numerics {
  const { precision, activations, base, backward } = training;
  if (precision === "bf16" && !withBfloat16.has(provider)) {
    throw new UserError(`training.precision is bf16, but ${provider} has no bfloat16 products`, {
      next: "Set training.precision to fp16, or runtime.provider to cpu or cuda.",
    });
  }
  if (precision !== "float32" && (base !== "float32" || backward === "int8")) {
    const other = base === "float32" ? "training.backward is int8" : `training.base is ${base}`;
    throw new UserError(`training.precision is ${precision}, but ${other}`, {
      next: "Leave one of them out: a base in fewer bits has its own products.",
    });
  }
  // onnxruntime's CPU provider on x64 runs float16 products as float32 ones between casts, and has none in bfloat16.
  return { precision, activations, products: provider === "cpu" ? "rounded" : "native" };
}

/** The frozen base of mixed precision; absent where it is float32 or trained itself. */
export function halvesOf(config: Config): HalfBase | undefined {
  const { precision, products } = numericsOf(config);
  if (precision === "float32" || config.method !== "lora") return undefined;
  // DoRA reads the rows of layers, saved modules train them: those layers must stay float32 inputs.
  const plain = config.lora.dora || config.lora.modulesToSave.length > 0;
  return { half: halfTypes[precision], products, plain };
}

/** Whether generation can read the weights as they are held while they train: not in fewer bits, nor in float16. */
export function canGenerate(config: Config): boolean {
  const halves = halvesOf(config);
  const compact = halves?.half === "float16" && halves.plain !== true;
  return config.training.base === "float32" && !compact;
}

/** What it gains here, for the plan, beside the same run in float32; nothing to say of float32. */
export function numericsNote(
  { runtime: { provider }, training }: Config,
  memory: { readonly totalBytes: number; readonly plainBytes: number },
): string | undefined {
  const { precision, activations } = training;
  const saved = memory.plainBytes - memory.totalBytes;
  const gain = saved > 0 ? `saves about ${formatBytes(saved)} of memory` : "saves little memory";
  if (precision !== "float32" && provider === "cpu") {
    // Measured on the embedded model, the peak of processes differs by more than either.
    const kept =
      saved > 0 ? `weights and what is kept take about ${formatBytes(saved)} less` : "weights take no less";
    return `precision ${precision}: on the CPU products stay float32 with rounded operands, which gains no time; ${kept}, copies for rounding come on top`;
  }
  if (precision !== "float32") return `precision ${precision}, products on ${provider}; it ${gain}`;
  return activations === "float16" ? `activations are kept in float16: it ${gain}, for more time` : undefined;
}
