/** The modes that bench/modes.ts compares, and what it tells a side to do. */
import type { FrozenBase } from "../src/model/decoder/index.ts";
import type { TrainConfig } from "../src/project/index.ts";
import { UserError } from "../src/util/index.ts";

export type Mode = Pick<TrainConfig["training"], "base"> &
  Partial<Pick<TrainConfig["training"], "backward" | "blockSize">>;

export interface SideJob {
  readonly role: "train" | "judge" | "detail";
  readonly model: string;
  readonly data: string;
  readonly seed: number;
  readonly steps: number;
  readonly batch: number;
  readonly microTokens: number;
  readonly maxLength: number;
  readonly threads?: number;
  readonly validationBatches: number;
  /** Of a trainer; float32 for the others. */
  readonly mode: Mode;
  /** What is to be judged. */
  readonly modes: readonly string[];
  /** A folder for gradients and adapters. */
  readonly work: string;
}

/** `base`, `base/backward` or `base:blockSize`. float32 comes first: the rest is compared with it. */
export const namedModes: Readonly<Record<string, Mode>> = {
  float32: { base: "float32" },
  "float32/int8": { base: "float32", backward: "int8" },
  int8: { base: "int8" },
  "int8/float32": { base: "int8", backward: "float32" },
  "llm-int8": { base: "llm-int8" },
  "llm-int8/int8": { base: "llm-int8", backward: "int8" },
  "int4:32": { base: "int4", blockSize: 32 },
  "int4:64": { base: "int4", blockSize: 64 },
  "int4:64/int8": { base: "int4", blockSize: 64, backward: "int8" },
  "nf4:64": { base: "nf4", blockSize: 64 },
  stored: { base: "stored" },
};

export function nameOf(mode: Mode): string {
  return `${mode.base}${mode.blockSize === undefined ? "" : `-${mode.blockSize}`}${mode.backward === undefined ? "" : `-${mode.backward}`}`;
}

export function modeNamed(name: string): Mode {
  const mode = namedModes[name];
  if (mode !== undefined) return mode;
  throw new UserError(`--modes names ${name}`, { next: `There are ${Object.keys(namedModes).join(", ")}.` });
}

export interface Detail {
  readonly name: string;
  readonly frozen: FrozenBase;
}

const places: Readonly<Record<string, (path: string) => boolean>> = {
  "all layers": () => true,
  attention: (path) => path.includes("self_attn"),
  MLP: (path) => path.includes("mlp"),
};

/** Codes, block sizes and layers; and the backward product alone. */
export function details(): readonly Detail[] {
  const kinds = [
    ["int4", 32],
    ["int4", 64],
    ["int4", 128],
    ["nf4", 32],
    ["nf4", 64],
    ["nf4", 128],
  ] as const;
  const rows = kinds.flatMap(([base, blockSize]) =>
    Object.entries(places)
      // Where it is applied is asked at one block size.
      .filter(([place]) => blockSize === 64 || place === "all layers")
      .map(([place, applies]): Detail => ({
        name: `${base}, blocks of ${blockSize}, ${place}`,
        frozen: { base, backward: "float32", blockSize, applies },
      })),
  );
  return [
    {
      name: "8 bits by row, float activations",
      frozen: { base: "llm-int8", backward: "float32", blockSize: 64 },
    },
    ...rows,
    {
      name: "float32, 8-bit backward product",
      frozen: { base: "float32", backward: "int8", blockSize: 64 },
    },
  ];
}
