/** Keeps what the forward pass saves for the backward pass in half precision in between. */
import { isFloat } from "../../tensor/index.ts";
import type { Shape } from "../dims.ts";
import { type Graph, GraphError, type Node, type Value } from "../graph.ts";
import { verify } from "../verify.ts";
import { type HalfType, halfBehind } from "./autocast.ts";
import { emitter } from "./emit.ts";
import type { Pass } from "./rewrite.ts";

export interface HalfActivationsOptions {
  /** The output whose node is the last of the forward pass. */
  readonly loss: string;
  readonly half: HalfType;
  /** `exact`: only what half precision holds without loss, having been cast from it. */
  readonly values: "all" | "exact";
}

/** Nodes between the last forward use and the first backward use, below which nothing is gained by a detour. */
const LEAST_GAP = 48;

/**
 * A float32 value that is computed in the forward pass and read again in the backward pass is cast down after its last
 * forward use and back before its first backward use. What a norm reads, the residual stream, stays float32: its
 * outliers may leave float16's range. A value that was cast from half precision is cast from it again, without loss.
 *
 * An engine runs nodes when their results are wanted, so the cast down is tied to the forward path (a later norm's
 * input waits for it) and the cast up to the backward path (it waits for a cotangent). Run it after `optimize`.
 */
export function halfActivations(options: HalfActivationsOptions): Pass {
  return (built: Graph) => {
    const border = lastForward(built, options.loss);
    const graph = withLateReaders(built, border);
    const uses = usesOf(graph, border);
    const producers = new Map<Value, Node>();
    for (const node of graph.nodes) for (const output of node.outputs) producers.set(output, node);
    const tokens = anchors(graph, border);
    const saved = new Map<Value, Uses>();
    for (const [index, node] of graph.nodes.slice(0, border + 1).entries()) {
      for (const value of node.outputs) {
        const use = uses.get(value);
        if (use === undefined || !tokens.has(use.firstBackward)) continue;
        // Its own node is the last use of what the forward pass makes and does not read.
        use.lastForward = Math.max(use.lastForward, index);
        if (use.firstBackward - use.lastForward < LEAST_GAP) continue;
        const source = halfBehind(value, options.half, { producer: (it) => producers.get(it) });
        if (worthKeeping(value) && (source !== undefined || (options.values === "all" && !use.norm)))
          saved.set(value, use);
      }
    }
    return saved.size === 0
      ? graph
      : rewritten(graph, { border, saved, producers, tokens, half: options.half });
  };
}

interface Uses {
  /** Index of the node, -1 where there is none. */
  lastForward: number;
  firstBackward: number;
  /** Whether a norm of the forward pass reads it. */
  norm: boolean;
}

function lastForward(graph: Graph, loss: string): number {
  const value = graph.outputs.get(loss);
  const index = graph.nodes.findIndex(({ outputs }) => value !== undefined && outputs.includes(value));
  if (index < 0) throw new GraphError(`no node computes the output ${loss}`);
  return index;
}

function usesOf(graph: Graph, border: number): Map<Value, Uses> {
  const uses = new Map<Value, Uses>();
  for (const [index, node] of graph.nodes.entries()) {
    for (const input of node.inputs) {
      if (input === undefined) continue;
      const use = uses.get(input) ?? { lastForward: -1, firstBackward: Number.NaN, norm: false };
      uses.set(input, use);
      if (index <= border) {
        use.lastForward = index;
        use.norm ||= isNorm(node);
      } else if (Number.isNaN(use.firstBackward)) use.firstBackward = index;
    }
  }
  for (const value of graph.outputs.values()) uses.delete(value);
  return new Map([...uses].filter(([, { firstBackward }]) => !Number.isNaN(firstBackward)));
}

function isNorm({ op }: Node): boolean {
  return op === "SimplifiedLayerNormalization" || op === "SkipSimplifiedLayerNormalization";
}

/** Large, as a batch's tokens make it, and more than a number a row. */
function worthKeeping({ dtype, shape }: Value): boolean {
  return dtype === "float32" && shape.length >= 2 && shape.at(-1) !== 1 && shape.some(isOpen);
}

const isOpen = (dim: Shape[number]): boolean => typeof dim === "string";

function rewritten(
  graph: Graph,
  {
    border,
    saved,
    producers,
    tokens,
    half,
  }: {
    readonly border: number;
    readonly saved: ReadonlyMap<Value, Uses>;
    readonly producers: ReadonlyMap<Value, Node>;
    readonly tokens: ReadonlyMap<number, Value>;
    readonly half: HalfType;
  },
): Graph {
  const nodes: Node[] = [];
  const { emit } = emitter(graph, (node) => nodes.push(node));
  const after = new Map<number, Value[]>();
  for (const [value, { lastForward }] of saved)
    after.set(lastForward, [...(after.get(lastForward) ?? []), value]);
  const halves = new Map<Value, Value>();
  const restored = new Map<Value, Value>();
  /** Cast down, and not yet waited for. */
  let waiting: Value[] = [];
  for (const [index, node] of graph.nodes.entries()) {
    let { inputs } = node;
    if (index <= border && isNorm(node) && waiting.length > 0) {
      const [x, ...others] = inputs;
      inputs = [emit("Barrier", [x!, ...waiting], {}, `${x!.name}_after`), ...others];
      waiting = [];
    }
    if (index > border) {
      inputs = inputs.map((input) => {
        if (input === undefined || !saved.has(input)) return input;
        let back = restored.get(input);
        if (back === undefined) {
          const held = emit("Barrier", [halves.get(input)!, tokens.get(index)!], {}, `${input.name}_held`);
          back = emit("Cast", [held], { to: "float32" }, `${input.name}_back`);
          restored.set(input, back);
        }
        return back;
      });
    }
    nodes.push({ ...node, inputs } as Node);
    for (const value of after.get(index) ?? []) {
      const source = halfBehind(value, half, { producer: (it) => producers.get(it) });
      const held = source ?? emit("Cast", [value], { to: half }, `${value.name}_half`);
      halves.set(value, held);
      if (source === undefined) waiting.push(held);
    }
  }
  return verify({ ...graph, nodes });
}

/** The graph with nodes of the backward pass that read saved values alone moved to where their result is first read. */
function withLateReaders(graph: Graph, border: number): Graph {
  const tokens = anchors(graph, border, false);
  const late = new Map<Value, Node>();
  const nodes = graph.nodes.slice(0, border + 1);
  const place = (node: Node): void => {
    for (const input of node.inputs) {
      const waiting = input === undefined ? undefined : late.get(input);
      if (waiting === undefined) continue;
      for (const output of waiting.outputs) late.delete(output);
      place(waiting);
    }
    nodes.push(node);
  };
  for (let index = border + 1; index < graph.nodes.length; index++) {
    const node = graph.nodes[index]!;
    if (tokens.has(index)) place(node);
    else for (const output of node.outputs) late.set(output, node);
  }
  for (const node of new Set(late.values())) {
    if (!node.outputs.every((output) => late.delete(output))) continue;
    place(node);
  }
  return { ...graph, nodes };
}

/**
 * For each node of the backward pass by index, the value that it waits for anyway: the latest operand that depends on
 * the loss region, which begins after the last norm; with `inherited`, for a node that reads saved values alone, what
 * its first reader waits for.
 */
function anchors(graph: Graph, border: number, inherited = true): ReadonlyMap<number, Value> {
  const made = new Map<Value, number>();
  for (const [index, { outputs }] of graph.nodes.entries())
    for (const value of outputs) made.set(value, index);
  const region = graph.nodes.slice(0, border + 1).findLastIndex(isNorm);
  const tokens = new Map<number, Value>();
  const reader = new Map<number, number>();
  for (let index = region + 1; index < graph.nodes.length; index++) {
    let latest = -1;
    for (const input of graph.nodes[index]!.inputs) {
      const from = input === undefined ? undefined : made.get(input);
      if (from === undefined || from <= region) continue;
      if (!reader.has(from)) reader.set(from, index);
      if (from <= latest || !isFloat(input!.dtype) || (from > border && !tokens.has(from))) continue;
      latest = from;
      if (index > border) tokens.set(index, input!);
    }
  }
  if (!inherited) return tokens;
  // Readers come after what they read, so one walk from the back settles every chain.
  for (let index = graph.nodes.length - 1; index > border; index--) {
    const first = reader.get(index);
    const token = first === undefined ? undefined : tokens.get(first);
    if (!tokens.has(index) && token !== undefined) tokens.set(index, token);
  }
  return tokens;
}
