/** How int8 is held for a processor: as it is, or as uint8 around 128. */
import { GraphBuilder } from "../graph/index.ts";
import { type Tensor, scalar, shiftBytes, tensor } from "../tensor/index.ts";
import type { Runtime } from "./runtime.ts";

/** `uint8`: a value v is held as v + 128. Nobody sees it but the runtime. */
export type Int8Form = "int8" | "uint8";

/** `value`, whose memory is the caller's own, as it is held. */
export function asHeld<T extends Tensor>(value: T, form: Int8Form): T | Tensor {
  return value.dtype === "int8" && form === "uint8" ? shiftBytes(value) : value;
}

/** What is held, whose memory is the caller's own, as the value of a tensor of type `dtype`. */
export function asTold<T extends Tensor>(held: T, dtype: Tensor["dtype"]): T | Tensor {
  return dtype === "int8" && held.dtype === "uint8" ? shiftBytes(held) : held;
}

/**
 * Whether products of uint8 by int8 are exact here. On x86 processors without VNNI the kernels add two products at 16 bits, where
 * 255 · 127 · 2 has no room; those of uint8 by uint8 have it, and take a tenth longer.
 */
export async function exactProducts(runtime: Runtime): Promise<boolean> {
  const [rows, inner, columns] = [2, 16, 16];
  const g = new GraphBuilder();
  const [zero, one] = [g.constant(tensor("uint8", [], Uint8Array.of(0))), g.constant(scalar(1))];
  const x = g.input("x", "uint8", [rows, inner]);
  const w = g.input("w", "int8", [columns, inner]);
  const none = g.constant(tensor("int8", [], Int8Array.of(0)));
  g.output("y", g.op("QGemm", [x, one, zero, w, one, none], { transA: 0, transB: 1, alpha: 1 }));
  await using program = await runtime.compile(g.build(), { name: "a product in 8 bits", passes: [] });
  const { outputs } = await program.run({
    x: tensor("uint8", [rows, inner], new Uint8Array(rows * inner).fill(255)),
    w: tensor("int8", [columns, inner], new Int8Array(columns * inner).fill(127)),
  });
  return outputs["y"]!.data.every((sum: number | bigint) => sum === inner * 255 * 127);
}
