/** The two sides of the training benchmarks: Attune, and PyTorch + PEFT in the ways it can be run. */
import { join } from "node:path";
import { UserError } from "../src/util/index.ts";
import { tcmalloc } from "./machine.ts";
import type { SideOptions } from "./turns.ts";

/** Ways to run the peer. `best` is what shared experience found fastest that is still float32. */
export const peers: Readonly<Record<string, { readonly args: readonly string[]; readonly tuned: boolean }>> =
  {
    installed: { args: ["--attention", "sdpa", "--precision", "highest", "--head", "all"], tuned: false },
    best: { args: ["--attention", "eager"], tuned: true },
    "best-whole-head": { args: ["--attention", "eager", "--head", "all"], tuned: true },
    compiled: { args: ["--attention", "eager", "--head", "all", "--compile"], tuned: true },
    nf4: { args: ["--attention", "eager", "--dtype", "nf4"], tuned: true },
    bf16: { args: ["--attention", "eager", "--dtype", "bfloat16"], tuned: true },
    "bf16-whole-head": {
      args: ["--attention", "eager", "--head", "all", "--dtype", "bfloat16"],
      tuned: true,
    },
    "bf16-compiled": {
      args: ["--attention", "eager", "--dtype", "bfloat16", "--head", "all", "--compile"],
      tuned: true,
    },
  };

export interface SharedOptions {
  /** The folder of `prepareWorkload`. */
  readonly work: string;
  readonly threads: number;
  readonly rank: number;
  readonly alpha: number;
  readonly targets: string;
  readonly dropout: number;
}

/** Attune's default adapter, without dropout: for benchmarks that do not vary it. */
export const plainLora = { rank: 16, alpha: 32, targets: "q_proj,v_proj", dropout: 0 } as const;

type Settings = Readonly<Record<string, string | number>>;

const settingsOf = ({ threads, rank, alpha, targets, dropout }: SharedOptions): Settings => ({
  threads,
  rank,
  alpha,
  targets,
  dropout,
});

const flagsOf = (settings: Settings): string[] =>
  Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** As a run has them, on two threads or more. */
export function asARun(
  base: string,
  lanes = base === "int8" ? 2 : 1,
): { readonly lanes: number; readonly checkpointing: "attention" | "none" } {
  return { lanes, checkpointing: lanes > 1 ? "attention" : "none" };
}

export function attuneSide(
  shared: SharedOptions,
  options: {
    readonly base: string;
    readonly microTokens: number;
    readonly batches?: string;
    readonly lanes?: number;
    readonly checkpointing?: string;
  },
): SideOptions {
  const { base, microTokens, batches = "batches.json" } = options;
  const run = asARun(base, options.lanes);
  const { checkpointing = run.checkpointing } = options;
  const { lanes } = run;
  return {
    name: base === "float32" ? "attune" : `attune ${base}`,
    command: process.execPath,
    args: [
      "--import",
      "tsx",
      join(import.meta.dirname, "attune-train-side.ts"),
      "--work",
      shared.work,
      ...flagsOf({ batches, "micro-tokens": microTokens, base, lanes, checkpointing }),
      ...flagsOf(settingsOf(shared)),
    ],
    cwd: join(import.meta.dirname, ".."),
  };
}

/** `micro`: rows of a micro-batch, cut to their longest; as fast as any on the real batches when absent. */
export function peerSide(
  shared: SharedOptions,
  python: string,
  name: string,
  { batches = "batches.json", micro = 4 }: { readonly batches?: string; readonly micro?: number } = {},
): SideOptions {
  const peer = peers[name];
  if (peer === undefined)
    throw new UserError(`--peer ${name} is not known`, {
      next: `There are ${Object.keys(peers).join(", ")}.`,
    });
  const allocator = tcmalloc();
  const preload = allocator === undefined ? {} : { LD_PRELOAD: allocator };
  return {
    name: `peft ${name}${peer.tuned && allocator === undefined ? " (no tcmalloc)" : ""}`,
    command: python,
    args: [
      join(import.meta.dirname, "peer", "train_step.py"),
      shared.work,
      ...flagsOf({ batches, micro }),
      ...flagsOf(settingsOf(shared)),
      ...peer.args,
    ],
    env: {
      OMP_NUM_THREADS: String(shared.threads),
      HF_HUB_OFFLINE: "1",
      TRANSFORMERS_VERBOSITY: "error",
      ...(peer.tuned ? preload : {}),
    },
  };
}
