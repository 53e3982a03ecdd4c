/** The trainable parameters of a run as one flat vector, and where each named one stands in it. */
import { type GraphBuilder, type Shape, type Value } from "../../compute/graph/index.ts";
import { elementCount } from "../../compute/tensor/index.ts";

export interface ParameterEntry {
  readonly name: string;
  readonly shape: readonly number[];
  /** First element in the flat vector. */
  readonly offset: number;
  readonly size: number;
}

export interface ParameterLayout {
  readonly entries: readonly ParameterEntry[];
  /** N: elements of the flat vector. */
  readonly size: number;
}

/** Lays the parameters out one after another, in the order given. */
export function parameterLayout(
  parameters: Iterable<{ readonly name: string; readonly shape: readonly number[] }>,
): ParameterLayout {
  const entries: ParameterEntry[] = [];
  let offset = 0;
  for (const { name, shape } of parameters) {
    const size = elementCount(shape);
    entries.push({ name, shape, offset, size });
    offset += size;
  }
  return { entries, size: offset };
}

/** Views on each parameter of a flat vector [N]. */
export function parameterViews(layout: ParameterLayout, flat: Float32Array): Map<string, Float32Array> {
  return new Map(
    layout.entries.map(({ name, offset, size }) => [name, flat.subarray(offset, offset + size)]),
  );
}

/** The parameters as slices of the graph value `flat` [N]. */
export function sliceParameters(g: GraphBuilder, layout: ParameterLayout, flat: Value): Map<string, Value> {
  return new Map(
    layout.entries.map(({ name, shape, offset, size }) => [
      name,
      g.reshape(g.slice(flat, 0, offset, offset + size), shape as Shape),
    ]),
  );
}

/** The gradients of the parameters, in the layout's order, as one vector [N]. */
export function joinGradients(g: GraphBuilder, gradients: readonly Value[]): Value {
  return g.concat(
    gradients.map((gradient) =>
      g.reshape(gradient, [gradient.shape.reduce<number>((a, b) => a * (b as number), 1)]),
    ),
    0,
  );
}
