/** Runs a graph node by node in float64: slow, plain, and the yardstick for everything fast. */
import {
  type Graph,
  type Node,
  type Op,
  type Value,
  evaluateDim,
  formatShape,
  printNode,
} from "../../graph/index.ts";
import type { Tensor } from "../../tensor/index.ts";
import { errorMessage } from "../../../util/index.ts";
import { checkFeeds } from "../feeds.ts";
import { type Wide, narrow, widen } from "./array.ts";
import { elementwiseKernels } from "./elementwise.ts";
import { modelKernels } from "./kernels.ts";
import { layoutKernels } from "./layout.ts";
import type { Context, ReferenceTable } from "./table.ts";

export const referenceTable: ReferenceTable = { ...elementwiseKernels, ...layoutKernels, ...modelKernels };

function runNode<K extends Op>(
  node: Node<K>,
  inputs: readonly (Wide | undefined)[],
  context: Context,
): readonly Wide[] {
  return referenceTable[node.op](inputs as readonly Wide[], node.attributes, context);
}

function contextOf(symbols: ReadonlyMap<string, number>): Context {
  return { sizes: (shape) => shape.map((dim) => evaluateDim(dim, symbols)) };
}

/**
 * All outputs of `graph`, float32 values unrounded throughout, so that finite differences have float64's precision.
 * Fails where a node's result has not the shape or type that the op table inferred.
 */
export function interpret(
  graph: Graph,
  feeds: Readonly<Record<string, Wide>>,
  name = "reference",
): Readonly<Record<string, Wide>> {
  const context = contextOf(checkFeeds(name, graph.inputs, feeds));
  const values = new Map<Value, Wide>(graph.inputs.map((input) => [input, feeds[input.name]!]));
  for (const [value, content] of graph.constants) values.set(value, widen(content));
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : values.get(input)!));
    let results: readonly Wide[];
    try {
      results = runNode(node, inputs, context);
    } catch (error) {
      throw new Error(`${name}: the node ${printNode(node)} failed: ${errorMessage(error)}`, {
        cause: error,
      });
    }
    for (const [i, output] of node.outputs.entries()) {
      checkResult(output, results[i]!, context);
      values.set(output, results[i]!);
    }
  }
  return Object.fromEntries([...graph.outputs].map(([name, value]) => [name, values.get(value)!]));
}

function checkResult(value: Value, result: Wide, context: Context): void {
  const shape = context.sizes(value.shape);
  if (result.dtype !== value.dtype || result.shape.join() !== shape.join()) {
    throw new Error(
      `${value.name} is ${result.dtype}${formatShape(result.shape)}, where ${value.dtype}${formatShape(shape)} was inferred`,
    );
  }
}

/** One node's results for concrete inputs; `undefined` where a size of its attributes is unknown. */
export function evaluateNode(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
): readonly Tensor[] | undefined {
  if (node.outputs.some(({ shape }) => shape.some((dim) => typeof dim !== "number"))) return undefined;
  const wide = inputs.map((input) => (input === undefined ? undefined : widen(input)));
  return runNode(node, wide, contextOf(new Map())).map(narrow);
}
