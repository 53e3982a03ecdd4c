/** What a gradient rule is, and the helpers that rules share. */
import {
  type GraphBuilder,
  GraphError,
  type Node,
  type Op,
  type Shape,
  type Value,
  canonical,
  sameShape,
} from "../graph/index.ts";

export type Cotangents = readonly (Value | undefined)[];

/**
 * Vector–Jacobian product of one op: from the cotangents of its outputs (`undefined` is zero) to those of
 * its inputs. `needs(i)` tells whether the cotangent of input i will be read.
 */
export type GradRule<K extends Op> = (
  g: GraphBuilder,
  node: Node<K>,
  cotangents: Cotangents,
  needs: (input: number) => boolean,
) => Cotangents;

/** One entry an op: a missing rule does not compile. */
export type GradTable = { readonly [K in Op]: GradRule<K> | "not differentiable" };

/** A rule for ops with one output, which is certain to have a cotangent. */
export function single<K extends Op>(
  rule: (
    g: GraphBuilder,
    cotangent: Value,
    inputs: readonly Value[],
    node: Node<K>,
    needs: (input: number) => boolean,
  ) => Cotangents,
): GradRule<K> {
  return (g, node, cotangents, needs) => {
    const cotangent = cotangents[0];
    if (cotangent === undefined) return [];
    return rule(g, cotangent, node.inputs as readonly Value[], node, needs);
  };
}

/** Sums a cotangent over the axes along which its operand was broadcast. */
export function unbroadcast(g: GraphBuilder, cotangent: Value, shape: Shape): Value {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  const extra = cotangent.shape.length - shape.length;
  const axes = cotangent.shape.flatMap((dim, axis) => {
    const own = axis < extra ? undefined : canonical(shape[axis - extra]!);
    return own === undefined || (own === 1 && canonical(dim) !== 1) ? [axis] : [];
  });
  return g.reshape(g.sum(cotangent, axes, true), shape);
}

/** The product of known sizes along `axes`; an unknown one cannot be a constant. */
export function knownCount(node: Node, shape: Shape, axes: readonly number[]): number {
  return axes.reduce((product, axis) => {
    const size = shape[axis < 0 ? axis + shape.length : axis]!;
    if (typeof size === "string")
      throw new GraphError(`${node.op}: its gradient needs the size ${size} to be known`);
    return product * size;
  }, 1);
}
