/** Folding an adapter into the weight it belongs to. */
import { type Tensor, tensor } from "../../compute/tensor/index.ts";
import type { LoraPair } from "./adapter.ts";

/**
 * V = W + scale · B·A, each row brought to its magnitude where there is one (DoRA), accumulated in float64 and rounded once. `weight`: [out, in], untouched; a: [R, in]; b: [out, R].
 * Merge in float and quantise afterwards, never the other way round (TRAPS: the adapter would be rounded away).
 */
export function mergeLora(weight: Tensor<"float32">, pair: LoraPair): Tensor<"float32"> {
  const [outWidth, inWidth] = weight.shape as [number, number];
  const [rank] = pair.a.shape as [number];
  if (pair.a.shape[1] !== inWidth || pair.b.shape[0] !== outWidth || pair.b.shape[1] !== rank) {
    throw new Error(
      `cannot merge A [${pair.a.shape.join()}] and B [${pair.b.shape.join()}] into W [${weight.shape.join()}]`,
    );
  }
  const a = pair.a.data;
  const b = pair.b.data;
  const magnitude = pair.magnitude?.data;
  const out = new Float32Array(weight.data.length);
  const row = new Float64Array(inWidth);
  for (let o = 0; o < outWidth; o++) {
    for (let i = 0; i < inWidth; i++) row[i] = weight.data[o * inWidth + i]!;
    for (let r = 0; r < rank; r++) {
      const factor = pair.scale * b[o * rank + r]!;
      const at = r * inWidth;
      for (let i = 0; i < inWidth; i++) row[i]! += factor * a[at + i]!;
    }
    if (magnitude !== undefined) {
      const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
      for (let i = 0; i < inWidth; i++) row[i]! *= magnitude[o]! / norm;
    }
    out.set(row, o * inWidth);
  }
  return tensor("float32", weight.shape, out);
}

/** The pair that changes the weight of this name, if any. */
export function pairForWeight(layers: ReadonlyMap<string, LoraPair>, name: string): LoraPair | undefined {
  return name.endsWith(".weight") ? layers.get(name.slice(0, -".weight".length)) : undefined;
}
