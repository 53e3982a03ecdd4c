/** Copies parts of one array into others: how an output grows tensors that stay on the device. */
import type { DType, DTypeArrays } from "../tensor/index.ts";

/** Copies the pieces of a `DeviceWrite`; a piece outside its output or target fails before anything is copied. */
export function copyPieces<A extends DTypeArrays[DType]>(
  output: string,
  source: A,
  targets: readonly A[],
  pieces: Int32Array,
): void {
  const eachPiece = (use: (target: A, from: number, to: number, count: number) => void): void => {
    for (let i = 0; i + 3 < pieces.length; i += 4) {
      use(targets[pieces[i]!]!, pieces[i + 1]!, pieces[i + 2]!, pieces[i + 3]!);
    }
  };
  eachPiece((target, from, to, count) => {
    const fits =
      target !== undefined &&
      Math.min(from, to, count) >= 0 &&
      from + count <= source.length &&
      to + count <= target.length;
    if (!fits) {
      throw new Error(
        `a piece of ${count} elements at ${from} of the output ${output} (${source.length} elements) does not fit at ${to} of its target (${target?.length ?? "none"})`,
      );
    }
  });
  eachPiece((target, from, to, count) => target.set(source.subarray(from, from + count) as never, to));
}
