/** Computes equal expressions once. */
import { createHash } from "node:crypto";
import { tensorBytes, type Tensor } from "../../tensor/index.ts";
import type { Graph, Node, Value } from "../graph.ts";
import { rewrite } from "./rewrite.ts";

/** Constants up to this size are compared by content; hashing gigabytes of weights would cost more than it saves. */
const COMPARED_BYTES = 1 << 16;

/**
 * Nodes with the same op, attributes and operands become one, constants with the same content too. A barrier is never
 * merged with anything: what is recomputed behind it stays apart from what was computed before.
 */
export function mergeCommonSubexpressions(graph: Graph): Graph {
  const merged = mergeConstants(graph);
  const ids = new Map<Value, number>();
  const idOf = (value: Value | undefined): number => {
    if (value === undefined) return -1;
    let id = ids.get(value);
    if (id === undefined) ids.set(value, (id = ids.size));
    return id;
  };
  const seen = new Map<string, Node>();
  return rewrite(merged, (node) => {
    if (node.op === "Barrier") return undefined;
    const key = `${node.op} ${node.inputs.map(idOf).join()} ${attributesKey(node.attributes)}`;
    const same = seen.get(key);
    if (same === undefined) {
      seen.set(key, node);
      return undefined;
    }
    return same.outputs;
  });
}

/** One value for all small constants of one content. */
function mergeConstants(graph: Graph): Graph {
  const first = new Map<string, Value>();
  const same = new Map<Value, Value>();
  for (const [value, content] of graph.constants) {
    if (content.data.byteLength > COMPARED_BYTES) continue;
    const key = contentKey(content);
    const known = first.get(key);
    if (known === undefined) first.set(key, value);
    else same.set(value, known);
  }
  if (same.size === 0) return graph;
  const one = <V extends Value | undefined>(value: V): V => (value && (same.get(value) as V)) ?? value;
  return {
    inputs: graph.inputs,
    constants: new Map([...graph.constants].filter(([value]) => !same.has(value))),
    nodes: graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map(one) })),
    outputs: new Map([...graph.outputs].map(([name, value]) => [name, one(value)])),
  };
}

function contentKey({ dtype, shape, data }: Tensor): string {
  const digest = createHash("sha1")
    .update(tensorBytes({ dtype, shape, data } as Tensor))
    .digest("base64");
  return `${dtype}[${shape.join()}]${digest}`;
}

function attributesKey(attributes: object): string {
  const entries = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(entries);
}
