/** Dropout masks from a counter, so that step n draws the same mask whether or not the run was interrupted. */
import { createCipheriv, createHash } from "node:crypto";
import { type Tensor, elementCount, tensor } from "../compute/tensor/index.ts";

/** The probability that bytes can express: the nearest multiple of 1/256. 0.1 becomes 26/256 ≈ 0.1016. */
export function byteProbability(probability: number): number {
  return Math.round(probability * 256) / 256;
}

export interface DropoutMasks {
  /** One keep mask an input, true where the element stays; `draw` numbers the micro-batches of the whole run. */
  masks(draw: number, shapes: ReadonlyMap<string, readonly number[]>): Record<string, Tensor<"bool">>;
}

/** Masks keyed by `seed` and `purpose`: AES-128 in counter mode, whose counter block holds the draw. Source: NIST SP 800-38A. */
export function dropoutMasks(seed: number, probability: number, purpose = "dropout"): DropoutMasks {
  const key = createHash("sha256").update(`${purpose}\u0000${seed}`).digest().subarray(0, 16);
  const threshold = Math.round(probability * 256);
  return {
    masks: (draw, shapes) => {
      const counter = Buffer.alloc(16);
      counter.writeBigUInt64BE(BigInt(draw), 0);
      const result: Record<string, Tensor<"bool">> = {};
      if (shapes.size === 0) return result;
      const total = [...shapes.values()].reduce((sum, shape) => sum + elementCount(shape), 0);
      const stream = createCipheriv("aes-128-ctr", key, counter).update(Buffer.alloc(total));
      // A plain array: slices of a Buffer share its memory.
      const bytes = new Uint8Array(stream.buffer, stream.byteOffset, stream.length);
      for (let i = 0; i < bytes.length; i++) bytes[i] = bytes[i]! >= threshold ? 1 : 0;
      let offset = 0;
      for (const [name, shape] of shapes) {
        const size = elementCount(shape);
        result[name] = tensor("bool", shape, bytes.subarray(offset, offset + size));
        offset += size;
      }
      return result;
    },
  };
}
