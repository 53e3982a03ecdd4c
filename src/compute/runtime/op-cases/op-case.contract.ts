/** One op with operands, and the random values, shapes and axes that cases are made of. */
import * as fc from "fast-check";
import { type Graph, GraphBuilder, type Op, type OpAttributes, type Shape } from "../../graph/index.ts";
import type { DType, Tensor } from "../../tensor/index.ts";
import { random } from "../../../util/index.ts";
import { fill, narrow } from "../reference/array.ts";

export interface OpCase<K extends Op = Op> {
  readonly op: K;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes: OpAttributes[K];
  /** Declares sizes above 1 as symbols (equal sizes, equal symbols). */
  readonly symbolic?: boolean;
  /** Largest difference to expect between runtimes, relative to 1 + |value|; default 1e-5. */
  readonly tolerance?: number;
}

/** One row an op: a missing row does not compile. */
export type Cases = { readonly [K in Op]: fc.Arbitrary<OpCase<K>> };

/** The case as a graph whose inputs are `x0`, `x1` … and whose outputs are `y0`, `y1` …, with its feeds. */
export function caseGraph<K extends Op>(it: OpCase<K>): { graph: Graph; feeds: Record<string, Tensor> } {
  const builder = new GraphBuilder();
  const feeds: Record<string, Tensor> = {};
  const declare = (shape: readonly number[]): Shape =>
    it.symbolic === true ? shape.map((size) => (size > 1 ? `n${size}` : size)) : shape;
  const inputs = it.inputs.map((content, i) => {
    if (content === undefined) return undefined;
    feeds[`x${i}`] = content;
    return builder.input(`x${i}`, content.dtype, declare(content.shape));
  });
  for (const [i, output] of builder.node(it.op, inputs, it.attributes).entries())
    builder.output(`y${i}`, output);
  return { graph: builder.build(), feeds };
}

/** A tensor of values by `draw`, from a seed. */
function drawn(
  dtype: DType,
  shape: readonly number[],
  seed: number,
  draw: (next: () => number) => number,
): Tensor {
  const stream = random(seed, `${dtype}${shape.join()}`);
  return narrow(fill(dtype, shape, () => draw(stream.next)));
}

export const between = (low: number, high: number) => (next: () => number) => low + (high - low) * next();
export const whole = (low: number, high: number) => (next: () => number) =>
  low + Math.floor((high - low + 1) * next());
/** Away from 0 on either side. */
export const nonZero = (next: () => number): number => (next() < 0.5 ? -1 : 1) * (0.25 + 2 * next());

const draws: { readonly [D in DType]: (next: () => number) => number } = {
  float32: between(-2, 2),
  float16: between(-2, 2),
  bfloat16: between(-2, 2),
  int8: whole(-128, 127),
  uint8: whole(0, 255),
  int32: whole(-5, 5),
  int64: whole(-5, 5),
  bool: whole(0, 1),
};

export const values = (dtype: DType, shape: readonly number[], seed: number, draw = draws[dtype]): Tensor =>
  drawn(dtype, shape, seed, draw);

export const seeds = fc.integer({ min: 0, max: 2 ** 31 });
export const size = fc.integer({ min: 1, max: 4 });
export const shapes = (minLength: number, maxLength = 4): fc.Arbitrary<number[]> =>
  fc.array(size, { minLength, maxLength });
export const arithmetic = fc.constantFrom<DType>("float32", "float32", "int32", "int64");

/** `count` shapes that broadcast together. */
export const broadcastable = (count: number): fc.Arbitrary<number[][]> =>
  shapes(0).chain((full) =>
    fc.tuple(
      ...Array.from({ length: count }, () =>
        fc
          .tuple(
            fc.integer({ min: 0, max: full.length }),
            fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
          )
          .map(([dropped, ones]) => full.map((dim, i) => (ones[i]! ? 1 : dim)).slice(dropped)),
      ),
    ),
  );

/** A shape and one of its axes, counted from either end. */
export const shapeAndAxis = (minLength = 1): fc.Arbitrary<{ shape: number[]; axis: number }> =>
  shapes(minLength).chain((shape) =>
    fc.integer({ min: -shape.length, max: shape.length - 1 }).map((axis) => ({ shape, axis })),
  );
