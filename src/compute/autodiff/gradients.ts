/** Reverse mode: appends to a graph the nodes that compute a gradient of it. */
import {
  type CustomGradient,
  type GraphBuilder,
  GraphError,
  type Node,
  type Value,
  formatShape,
  sameShape,
} from "../graph/index.ts";
import { scalar } from "../tensor/index.ts";
import type { Cotangents, GradRule, GradTable } from "./rule.ts";
import { elementwiseRules } from "./rules-elementwise.ts";
import { kernelRules } from "./rules-kernels.ts";
import { layoutRules } from "./rules-layout.ts";

/** The rule table: one entry an op, exhaustive by type. */
export const gradTable: GradTable = { ...elementwiseRules, ...layoutRules, ...kernelRules };

/**
 * The gradient of a scalar `loss` with respect to each of `wrt`, in their order.
 * A value that the loss does not depend on is an error: a silent zero would hide a mistake.
 */
export function gradients(g: GraphBuilder, loss: Value, wrt: readonly Value[]): readonly Value[] {
  if (loss.shape.length !== 0)
    throw new GraphError(`the loss must be a scalar, got ${loss.name}${formatShape(loss.shape)}`);
  return vjp(g, [loss], [g.constant(scalar(1))], wrt).map((gradient, i) => {
    if (gradient === undefined)
      throw new GraphError(`the loss ${loss.name} does not depend on ${wrt[i]!.name}`);
    return gradient;
  });
}

/**
 * Vector–Jacobian product: from cotangents of `outputs` to those of `wrt` (`undefined` where nothing flows).
 * Only nodes from index `from` on are walked.
 */
export function vjp(
  g: GraphBuilder,
  outputs: readonly Value[],
  cotangents: Cotangents,
  wrt: readonly Value[],
  from = 0,
): Cotangents {
  const end = g.nodes.length;
  const active = activeValues(g, wrt, from, end);
  const regions = regionsByEnd(g.customGradients, from, end);
  const collected = new Map<Value, Value>();
  const collect = (value: Value | undefined, cotangent: Value | undefined): void => {
    if (value === undefined || cotangent === undefined || !active.has(value)) return;
    if (!sameShape(value.shape, cotangent.shape)) {
      throw new GraphError(
        `the cotangent of ${value.name}${formatShape(value.shape)} has the shape ${formatShape(cotangent.shape)}`,
      );
    }
    const sum = collected.get(value);
    collected.set(value, sum === undefined ? cotangent : g.add(sum, cotangent));
  };
  outputs.forEach((output, i) => collect(output, cotangents[i]));

  for (let index = end - 1; index >= from; index--) {
    const region = regions.get(index + 1);
    if (region !== undefined) {
      refuseLeaks(g, region, collected);
      const arrived = region.outputs.map((output) => collected.get(output));
      if (
        arrived.some((cotangent) => cotangent !== undefined) &&
        region.inputs.some((value) => active.has(value))
      ) {
        const result = region.backward(arrived);
        region.inputs.forEach((input, i) => collect(input, result[i]));
      }
      index = region.first;
      continue;
    }
    const node = g.nodes[index]!;
    const arrived = node.outputs.map((output) => collected.get(output));
    if (arrived.every((cotangent) => cotangent === undefined)) continue;
    const needs = (input: number): boolean => {
      const value = node.inputs[input];
      return value !== undefined && active.has(value);
    };
    if (!node.inputs.some((_, input) => needs(input))) continue;
    const result = ruleOf(node)(g, node, arrived, needs);
    node.inputs.forEach((input, i) => collect(input, result[i]));
  }
  return wrt.map((value) => collected.get(value));
}

/** A cotangent that reaches the inside of a custom region would be lost: only its outputs go through `backward`. */
function refuseLeaks(g: GraphBuilder, region: CustomGradient, collected: ReadonlyMap<Value, Value>): void {
  for (let index = region.first; index < region.last; index++) {
    for (const value of g.nodes[index]!.outputs) {
      if (!collected.has(value) || region.outputs.includes(value)) continue;
      throw new GraphError(
        `${value.name} is read outside its custom gradient, but is none of the outputs ${region.outputs.map(({ name }) => name).join(", ")}`,
      );
    }
  }
}

function ruleOf(node: Node): GradRule<Node["op"]> {
  const rule = gradTable[node.op];
  if (rule === "not differentiable") {
    throw new GraphError(
      `${node.op} is not differentiable, but ${node.outputs[0]!.name} stands between the loss and a parameter`,
    );
  }
  return rule as GradRule<Node["op"]>;
}

/** Every value that depends on one of `wrt`. */
function activeValues(g: GraphBuilder, wrt: readonly Value[], from: number, end: number): Set<Value> {
  const active = new Set(wrt);
  for (let index = from; index < end; index++) {
    const node = g.nodes[index]!;
    if (node.inputs.some((value) => value !== undefined && active.has(value))) {
      for (const output of node.outputs) active.add(output);
    }
  }
  return active;
}

/** The outermost custom gradient that ends at each node index. */
function regionsByEnd(
  regions: readonly CustomGradient[],
  from: number,
  end: number,
): Map<number, CustomGradient> {
  const byEnd = new Map<number, CustomGradient>();
  for (const region of regions) {
    if (region.first < from || region.last > end || region.first === region.last) continue;
    const known = byEnd.get(region.last);
    // Of two over the same nodes the outer one was recorded later.
    if (known === undefined || region.first <= known.first) byEnd.set(region.last, region);
  }
  return byEnd;
}
