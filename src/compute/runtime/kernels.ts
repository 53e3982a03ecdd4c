/** How long one node of a graph takes by itself: what speeds of a machine are measured with. */
import {
  type Graph,
  type Node,
  type SymbolSizes,
  type Value,
  evaluateDim,
  nodeBytes,
} from "../graph/index.ts";
import { type DType, type Tensor, dtypes, elementCount, tensor } from "../tensor/index.ts";
import type { DeviceTensor, Runtime } from "./runtime.ts";

/** Copies of a small node, so that a run's own time is spread over many. */
const copiesOfSmall = 64;
/** Operands of all copies together: more than fits into the caches near the cores. */
const footprint = 16e6;
const timedRuns = 4;

/**
 * Seconds of one execution of `node` with these sizes: copies side by side on operands of their own, the fastest of a
 * few runs. Operands are small numbers; those that are constants of the graph stay so.
 */
export async function timeNode(
  runtime: Runtime,
  graph: Pick<Graph, "constants">,
  node: Node,
  sizes: SymbolSizes,
): Promise<number> {
  const fixed = (value: Value): Value => ({
    ...value,
    shape: value.shape.map((dim) => evaluateDim(dim, sizes)),
  });
  const content = (value: Value | undefined): Tensor | undefined =>
    value === undefined ? undefined : graph.constants.get(value);
  const bytes = nodeBytes(node, (value) => tensorBytesOf(fixed(value)));
  const copies = Math.min(copiesOfSmall, Math.max(1, Math.ceil(footprint / Math.max(1, bytes))));
  const mark: Value = { name: "mark", dtype: "float32", shape: [1] };
  const done: Value = { name: "done", dtype: "float32", shape: [1] };
  const inputs: Value[] = [mark];
  // Results that nobody fetches are computed all the same.
  const outputs = new Map<string, Value>([["done", done]]);
  const nodes: Node[] = [{ op: "Neg", inputs: [mark], outputs: [done], attributes: {} }];
  const constants = new Map<Value, Tensor>();
  for (let copy = 0; copy < copies; copy++) {
    const own = new Map<Value, Value>();
    const operand = (value: Value, index: number): Value => {
      const held = content(value);
      if (held !== undefined) {
        constants.set(value, held);
        return value;
      }
      const input = own.get(value) ?? { ...fixed(value), name: `x${copy}_${index}` };
      if (!own.has(value)) inputs.push(input);
      own.set(value, input);
      return input;
    };
    const results = node.outputs.map((value, index) => ({ ...fixed(value), name: `y${copy}_${index}` }));
    for (const value of results) outputs.set(value.name, value);
    nodes.push({
      ...node,
      inputs: node.inputs.map((value, index) => (value === undefined ? undefined : operand(value, index))),
      outputs: results,
    });
  }
  const feeds: Record<string, DeviceTensor> = {};
  const program = await runtime.compile({ inputs, constants, nodes, outputs }, { name: node.op, passes: [] });
  try {
    for (const input of inputs)
      feeds[input.name] = await runtime.upload(smallNumbers(input), { transfer: true });
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run <= timedRuns; run++) {
      const { seconds } = await program.run(feeds, { fetch: ["done"] });
      // The first touches memory that was never used.
      if (run > 0) best = Math.min(best, seconds);
    }
    return best / copies;
  } finally {
    await program[Symbol.asyncDispose]();
    for (const feed of Object.values(feeds)) await runtime.release(feed);
  }
}

function tensorBytesOf({ shape, dtype }: Value): number {
  return elementCount(shape as readonly number[]) * dtypes[dtype].bytes;
}

/** By element type the n-th of 13 numbers that repeat: small, of both signs, never subnormal. */
const numbers: { readonly [D in DType]: (n: number) => number | bigint } = {
  float32: (n) => (n - 5.5) / 64,
  // The bits of ±0.01 to ±0.02, nearly.
  float16: (n) => (n % 2) * 0x8000 + 0x2100 + n,
  bfloat16: (n) => (n % 2) * 0x8000 + 0x3c20 + n,
  int8: (n) => n - 6,
  uint8: (n) => 122 + n,
  int32: () => 0,
  int64: () => 0n,
  bool: (n) => n % 2,
};

/** A tensor of concrete shape full of such numbers; whole numbers, which may be indices, are 0. */
export function smallNumbers({ dtype, shape }: Pick<Value, "dtype" | "shape">): Tensor {
  const sizes = shape as readonly number[];
  const data = new dtypes[dtype].array(new ArrayBuffer(elementCount(sizes) * dtypes[dtype].bytes));
  const first = Math.min(13, data.length);
  for (let n = 0; n < first; n++) data[n] = numbers[dtype](n) as never;
  // Copies of what is there already, twice as much each time.
  for (let filled = first; filled < data.length; filled *= 2) data.copyWithin(filled, 0, filled);
  return tensor(dtype, sizes, data);
}
