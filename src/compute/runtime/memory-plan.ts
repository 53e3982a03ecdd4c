/** Which buffers onnxruntime takes and gives back in a run of a graph, from the graph and its sizes alone. */
import {
  type Graph,
  type Node,
  type Op,
  type SymbolSizes,
  type Value,
  byteCounter,
  viewRows,
} from "../graph/index.ts";
import { dtypes } from "../tensor/index.ts";

/**
 * Ops whose result stands where the first operand stood, when nobody reads that again. Found by runs of one op on large
 * tensors: the CPU kernels of arithmetic do not, activations do.
 */
const inPlace: ReadonlySet<Op> = new Set([
  "Softmax",
  "LogSoftmax",
  "Sigmoid",
  "Tanh",
  "Cast",
  "ScatterND",
] as const);

/** Ops whose result is another view of the first operand. */
const views: ReadonlySet<Op> = new Set(["Reshape", "Barrier"] as const);

/** How many more results of the same size a kernel forms on the way. Found by the same runs. */
const formedOnTheWay: Partial<Record<Op, number>> = { Where: 2 };

/** A buffer by number: taken (bytes > 0) or given back (0). */
export interface BufferEvent {
  readonly buffer: number;
  readonly bytes: number;
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
  const stack = graph.nodes.flatMap(({ outputs }, index) =>
    outputs.some((value) => read.has(value)) ? [] : [index],
  );
  while (stack.length > 0) {
    const top = stack.pop()!;
    // Negative: all its operands are done.
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

interface Buffer {
  readonly bytes: number;
  /** Buffers of one kind stand in for one another: element size and symbolic shape. */
  readonly kind: string;
  /** Reads of values in it that are still to come. */
  reads: number;
}

/** What one node does: buffers it takes, bytes it forms on the way, buffers it reads or writes. */
interface Step {
  readonly taken: readonly number[];
  readonly formed: number;
  readonly touched: readonly number[];
}

/**
 * Every buffer that a run takes and gives back, in order. onnxruntime plans before it knows a size: a result stands in
 * the newest free buffer of its symbolic shape, which therefore stays taken meanwhile. Inputs and constants are somebody
 * else's; outputs are never given back. Source: PlannerImpl of onnxruntime's allocation planner.
 */
export function bufferEvents(graph: Graph, sizes: SymbolSizes): readonly BufferEvent[] {
  const { buffers, steps, kept } = plan(viewRows(graph).graph, byteCounter(sizes));
  const last = new Map<number, number>();
  steps.forEach(({ touched }, index) => touched.forEach((buffer) => last.set(buffer, index)));
  const events: BufferEvent[] = [];
  let next = buffers.length;
  steps.forEach(({ taken, formed, touched }, index) => {
    for (const buffer of taken) events.push({ buffer, bytes: buffers[buffer]!.bytes });
    if (formed > 0) {
      events.push({ buffer: next, bytes: formed }, { buffer: next, bytes: 0 });
      next += 1;
    }
    for (const buffer of new Set(touched))
      if (last.get(buffer) === index && !kept.has(buffer)) events.push({ buffer, bytes: 0 });
  });
  return events;
}

function plan(
  graph: Graph,
  bytesOf: (value: Value) => number,
): { readonly buffers: readonly Buffer[]; readonly steps: readonly Step[]; readonly kept: Set<number> } {
  const order = executionOrder(graph);
  const outputs = new Set(graph.outputs.values());
  const reads = new Map<Value, number>();
  for (const { inputs } of order)
    for (const value of inputs) if (value !== undefined) reads.set(value, (reads.get(value) ?? 0) + 1);
  const buffers: Buffer[] = [];
  /** Newest first. */
  const free: number[] = [];
  const placeOf = new Map<Value, number>();
  const kept = new Set<number>();

  const place = (op: Op, value: Value, operand: number | undefined): number | undefined => {
    const kind = `${dtypes[value.dtype].bytes} ${value.shape.join()}`;
    if (inPlace.has(op) && operand !== undefined) {
      const { kind: before, reads: left } = buffers[operand]!;
      if (left === 1 && before === kind) return operand;
    }
    // A scalar is never worth looking for.
    const at = value.shape.length === 0 ? -1 : free.findIndex((buffer) => buffers[buffer]!.kind === kind);
    return at < 0 ? undefined : free.splice(at, 1)[0];
  };
  const steps = order.map(({ op, inputs, outputs: results }): Step => {
    const taken: number[] = [];
    const touched: number[] = [];
    const operand = inputs[0] === undefined ? undefined : placeOf.get(inputs[0]);
    for (const [index, value] of results.entries()) {
      const isView = views.has(op);
      // A view of what is somebody else's takes nothing.
      if (isView && operand === undefined) continue;
      let buffer = isView
        ? operand
        : outputs.has(value)
          ? undefined
          : place(op, value, index === 0 ? operand : undefined);
      if (buffer === undefined) {
        const kind = `${dtypes[value.dtype].bytes} ${value.shape.join()}`;
        buffer = buffers.push({ bytes: bytesOf(value), kind, reads: 0 }) - 1;
        taken.push(buffer);
      }
      placeOf.set(value, buffer);
      buffers[buffer]!.reads += (reads.get(value) ?? 0) + (outputs.has(value) ? 1 : 0);
      if (outputs.has(value)) kept.add(buffer);
      touched.push(buffer);
    }
    for (const value of inputs) {
      const buffer = value === undefined ? undefined : placeOf.get(value);
      if (buffer === undefined) continue;
      touched.push(buffer);
      if (--buffers[buffer]!.reads === 0) free.unshift(buffer);
    }
    // A result that nobody reads.
    for (const buffer of taken) if (buffers[buffer]!.reads === 0) free.unshift(buffer);
    const formed = (formedOnTheWay[op] ?? 0) * bytesOf(results[0]!);
    return { taken, formed, touched };
  });
  return { buffers, steps, kept };
}

/** Most bytes that are taken at the same time. */
export function liveBytes(events: readonly BufferEvent[]): number {
  const held = new Map<number, number>();
  let [now, most] = [0, 0];
  for (const { buffer, bytes } of events) {
    if (bytes > 0) held.set(buffer, bytes);
    now += bytes > 0 ? bytes : -(held.get(buffer) ?? 0);
    most = Math.max(most, now);
  }
  return most;
}
