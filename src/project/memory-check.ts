/** Whether a run fits into the memory that is free, before anything is loaded; when not, the nearest settings that do. */
import type { ModelSpec } from "../model/decoder/index.ts";
import { type MemoryEstimate, type MemoryOptions, estimateMemory } from "../train/index.ts";
import { UserError, formatBytes } from "../util/index.ts";
import { baseBytes, checkBase } from "./base-model.ts";
import { availableMemoryBytes } from "./machine.ts";
import type { PreparedRun } from "./train-run.ts";

/** Throws a `UserError` that names settings which fit, from the least costly on. */
export function refuseWithoutMemory(
  { plan, model }: Pick<PreparedRun, "plan" | "model">,
  availableBytes: number = availableMemoryBytes(),
): void {
  const { memory } = plan.summary;
  if (memory.totalBytes <= availableBytes) return;
  const problem = `training needs about ${formatBytes(memory.totalBytes)} of memory; ${formatBytes(availableBytes)} are free`;
  const found =
    nearestFit(model.spec, plan.sizes, plan.config.training.microTokens, availableBytes) ??
    fitInFewerBits({ plan, model }, availableBytes);
  if (found === undefined) {
    throw new UserError(`${problem} (the weights alone take ${formatBytes(memory.weightBytes)})`, {
      next: "Take a smaller model or a machine with more memory.",
    });
  }
  throw new UserError(problem, {
    next: `Add ${found.settings.map((setting) => `--set ${setting}`).join(" ")} (about ${formatBytes(found.estimate.totalBytes)}), or close other programs.`,
  });
}

interface Fit {
  readonly settings: readonly string[];
  readonly estimate: MemoryEstimate;
}

/** With the weights in a seventh of the memory, where a plain run on float32 weights cannot fit at all. */
function fitInFewerBits(
  { plan, model }: Pick<PreparedRun, "plan" | "model">,
  availableBytes: number,
): Fit | undefined {
  const config = { ...plan.config, training: { ...plan.config.training, base: "nf4" as const } };
  if (plan.config.training.base !== "float32") return undefined;
  try {
    checkBase(config, model.spec);
    const sizes = { ...plan.sizes, ...baseBytes(model, config.training) };
    const found = nearestFit(model.spec, sizes, config.training.microTokens, availableBytes);
    if (found === undefined) return undefined;
    const exact = plan.config.training.precision === "float32" ? [] : ["training.precision=float32"];
    return { ...found, settings: ["training.base=nf4", ...exact, ...found.settings] };
  } catch (error) {
    // A model whose layers are no whole blocks.
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** From the least costly on. */
const checkpointings = ["none", "attention", "blocks"] as const;

/** Smaller micro-batches cost little; recomputing costs a third more time; shorter sequences cost data. */
function nearestFit(
  spec: ModelSpec,
  sizes: MemoryOptions & { readonly allTokens: number },
  microTokens: number,
  availableBytes: number,
): Fit | undefined {
  const lengths = [sizes.longest, 768, 512, 384, 256, 128].filter((length) => length <= sizes.longest);
  const micros = [microTokens, 512, 384, 256, 128, 64].filter((tokens) => tokens <= microTokens);
  const modes = checkpointings.slice(checkpointings.indexOf(sizes.recompute));
  for (const longest of lengths) {
    for (const recompute of modes) {
      for (const micro of micros) {
        const tokens = Math.min(Math.max(micro, longest), sizes.allTokens);
        const lossChunks = Math.max(1, Math.ceil((sizes.lossChunks * tokens) / sizes.tokens));
        const estimate = estimateMemory(spec, { ...sizes, longest, recompute, tokens, lossChunks });
        if (estimate.totalBytes > availableBytes) continue;
        const settings = [
          ...(micro === microTokens ? [] : [`training.microTokens=${micro}`]),
          ...(recompute === sizes.recompute ? [] : [`training.checkpointing=${recompute}`]),
          ...(longest === sizes.longest ? [] : [`training.maxLength=${longest}`]),
        ];
        return { settings, estimate };
      }
    }
  }
  return undefined;
}
