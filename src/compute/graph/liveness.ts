/** How much memory a run of a graph takes: which results live at the same time, in the order in which a runtime goes. */
import { dtypes } from "../tensor/index.ts";
import { type Dim, type Shape, evaluateDim, termsOf } from "./dims.ts";
import type { Graph, Node, Op, Value } from "./graph.ts";

/** Ops whose result takes the place of an operand of the same size that nobody reads again. */
const inPlace: ReadonlySet<Op> = new Set([
  "Add",
  "Sub",
  "Mul",
  "Div",
  "Neg",
  "Abs",
  "Exp",
  "Log",
  "Sqrt",
  "Reciprocal",
  "Sigmoid",
  "Tanh",
  "Softmax",
  "Max",
  "Min",
  "Where",
]);

/** The size of each symbol, from shapes that inputs have in a run; alone or as a multiple such as `4*C`. */
export function symbolSizes(
  graph: Graph,
  shapes: Readonly<Record<string, readonly number[] | undefined>>,
): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const { name, shape } of graph.inputs) {
    const given = shapes[name];
    if (given === undefined) continue;
    shape.forEach((dim, axis) => {
      const [term, ...others] = termsOf(dim);
      const [symbol, ...more] = term?.symbols ?? [];
      if (symbol === undefined || others.length + more.length > 0) return;
      sizes.set(symbol, given[axis]! / term!.coefficient);
    });
  }
  return sizes;
}

/**
 * The nodes in the order in which onnxruntime runs them: depth first from the last result, the latest operand first.
 * Source: GraphViewer and Graph::ReverseDFSFrom of onnxruntime.
 */
export function executionOrder(graph: Graph): readonly Node[] {
  const producer = new Map<Value, number>();
  graph.nodes.forEach((node, index) => node.outputs.forEach((value) => producer.set(value, index)));
  const read = new Set(graph.nodes.flatMap(({ inputs }) => inputs));
  const order: Node[] = [];
  const visited = new Set<number>();
  // Negative: to be left, all operands done.
  const stack = graph.nodes.flatMap(({ outputs }, index) =>
    outputs.some((value) => read.has(value)) ? [] : [index],
  );
  while (stack.length > 0) {
    const top = stack.pop()!;
    if (top < 0) {
      order.push(graph.nodes[-top - 1]!);
      continue;
    }
    if (visited.has(top)) continue;
    visited.add(top);
    stack.push(-top - 1);
    const before = graph.nodes[top]!.inputs.flatMap((value) => {
      const index = value === undefined ? undefined : producer.get(value);
      return index === undefined || visited.has(index) ? [] : [index];
    });
    stack.push(...before.sort((a, b) => a - b));
  }
  return order;
}

/** What happens to memory as a graph runs: buffers by number, taken (bytes > 0) and given back (0). */
export interface BufferEvent {
  readonly buffer: number;
  readonly bytes: number;
}

/** Every buffer that a run takes and gives back, in order; inputs and constants are somebody else's, outputs stay. */
export function bufferEvents(graph: Graph, sizes: ReadonlyMap<string, number>): readonly BufferEvent[] {
  const known = new Map<Dim, number>();
  const sizeOf = (dim: Dim): number => {
    let size = known.get(dim);
    if (size === undefined) known.set(dim, (size = evaluateDim(dim, sizes)));
    return size;
  };
  const bytesOf = ({ shape, dtype }: { shape: Shape; dtype: Value["dtype"] }): number =>
    shape.reduce<number>((product, dim) => product * sizeOf(dim), dtypes[dtype].bytes);
  const order = executionOrder(graph);
  const uses = new Map<Value, number>();
  for (const { inputs } of order)
    for (const value of inputs) if (value !== undefined) uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const value of graph.outputs.values()) uses.set(value, Number.POSITIVE_INFINITY);

  const events: BufferEvent[] = [];
  /** The buffer in which a value stands, and how many reads of values in a buffer are still to come. */
  const bufferOf = new Map<Value, number>();
  const readsLeft: number[] = [];
  const sizeOfBuffer: number[] = [];
  const share = (value: Value, buffer: number): void => {
    bufferOf.set(value, buffer);
    readsLeft[buffer]! += uses.get(value) ?? 0;
  };
  for (const { op, inputs, outputs } of order) {
    const owned = inputs.flatMap((value) => (value === undefined ? [] : (bufferOf.get(value) ?? [])));
    const countOf = (buffer: number): number => owned.filter((one) => one === buffer).length;
    for (const [index, value] of outputs.entries()) {
      const bytes = bytesOf(value);
      const view = op === "Reshape" ? bufferOf.get(inputs[0]!) : undefined;
      const replaced =
        inPlace.has(op) && index === 0
          ? owned.find((buffer) => readsLeft[buffer] === countOf(buffer) && sizeOfBuffer[buffer] === bytes)
          : undefined;
      const place = view ?? replaced;
      // A view of an input takes nothing.
      if (op === "Reshape" && view === undefined) continue;
      if (place !== undefined) {
        share(value, place);
        continue;
      }
      const buffer = readsLeft.push(0) - 1;
      sizeOfBuffer.push(bytes);
      share(value, buffer);
      events.push({ buffer, bytes });
    }
    const done = new Set<number>();
    for (const buffer of owned) {
      readsLeft[buffer]! -= 1;
      done.add(buffer);
    }
    for (const value of outputs) {
      const buffer = bufferOf.get(value);
      if (buffer !== undefined) done.add(buffer);
    }
    for (const buffer of done) if (readsLeft[buffer] === 0) events.push({ buffer, bytes: 0 });
  }
  return events;
}

/** Most bytes that live at the same time. */
export function peakBytes(events: readonly BufferEvent[]): number {
  const live = new Map<number, number>();
  let [now, most] = [0, 0];
  for (const { buffer, bytes } of events) {
    if (bytes > 0) live.set(buffer, bytes);
    now += bytes > 0 ? bytes : -(live.get(buffer) ?? 0);
    most = Math.max(most, now);
  }
  return most;
}
