/** The tiny Llama 3.1 that golden numbers of training were made with, LoRA on q and v, and how their files are read. */
import { readFileSync } from "node:fs";
import { formulaTensor } from "../../test/fixtures/formula-weights.ts";
import { type Sequence, expectedWeights, specFromConfig } from "../model/decoder/index.ts";
import type { ParameterLayout } from "../model/nn/index.ts";
import { memoryWeights } from "../model/weights/index.ts";
import { adaptedLayers } from "./adapted-layers.ts";

export const golden = <T>(path: string): T =>
  JSON.parse(readFileSync(new URL(`../../test/golden/${path}`, import.meta.url), "utf8")) as T;

export const file = golden<{
  config: unknown;
  rank: number;
  alpha: number;
  rows: number[][];
  weights: number[][];
}>("parity/llama3.1.json");
export const spec = specFromConfig(file.config);
export const layers = adaptedLayers(spec, ["q_proj", "v_proj"]);
const adapted = new Set(layers.map(({ path }) => path));
export const adapter = {
  rank: file.rank,
  scale: file.alpha / file.rank,
  adapts: (path: string) => adapted.has(path),
};
export const store = memoryWeights(
  expectedWeights(spec).map(({ name, shape }) => [name, formulaTensor(name, shape)] as const),
);
export const row = (i: number): Sequence => ({ ids: file.rows[i]!, weights: file.weights[i]! });

/** Every parameter by its formula. */
export function initialOf(layout: ParameterLayout): Float32Array {
  const initial = new Float32Array(layout.size);
  for (const { name, shape, offset } of layout.entries) initial.set(formulaTensor(name, shape).data, offset);
  return initial;
}
