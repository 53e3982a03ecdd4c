/** A graph as an ONNX model: opset 21, IR version 10, big constants optionally in a file beside it. */
import { basename } from "node:path";
import { type Dim, type Graph, GraphError, type Node, type Op, type Value, opTable } from "../graph/index.ts";
import { type Tensor, tensorBytes } from "../tensor/index.ts";
import { writeAtomic } from "../../util/index.ts";
import { Emitter } from "./emitter.ts";
import { loweringTable } from "./lowering.ts";
import { externalTensorMessage, modelMessage, nodeMessage, tensorMessage, valueMessage } from "./messages.ts";
import type { ProtobufWriter } from "./protobuf.ts";

/** A protobuf message may not pass 2 GiB; above this many bytes of constants they go into a file of their own. */
export const EXTERNAL_FROM_BYTES = 1.5e9;
/** onnxruntime maps external data only at page boundaries. */
const PAGE = 4096;
/** Constants smaller than this stay in the model. */
const SMALL = 1024;

export interface EncodeOptions {
  /** File name of the external data, relative to the model; default `model.onnx.data`. */
  readonly location?: string;
  /** Moves constants out of the model when together they have more bytes than this. */
  readonly externalFrom?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What stands in the file beside the model. */
export interface ExternalData {
  readonly location: string;
  readonly byteLength: number;
  /** In ascending order of `offset`. */
  readonly entries: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
}

export interface EncodedModel {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly external?: ExternalData;
}

/** Encodes `graph`; input and output names are the graph's. Throws `GraphError` where ONNX cannot say it. */
export function encodeModel(graph: Graph, options: EncodeOptions = {}): EncodedModel {
  const { location = "model.onnx.data", externalFrom = EXTERNAL_FROM_BYTES, metadata = {} } = options;
  const { names, aliases, taken } = nameValues(graph);
  const emitter = new Emitter(graph, taken);
  const nameOf = (value: Value | undefined): string => (value === undefined ? "" : names.get(value)!);

  for (const node of graph.nodes) {
    const inputs = node.inputs.map(nameOf);
    while (inputs.at(-1) === "") inputs.pop();
    lower(emitter, node, { inputs, outputs: node.outputs.map(nameOf) });
  }
  const aliasNodes = aliases.map(({ name, value }) => nodeMessage("Identity", [nameOf(value)], [name], []));

  const constants: [string, Tensor][] = [];
  for (const [value, content] of graph.constants) constants.push([nameOf(value), content]);
  for (const { name, content } of emitter.constants) constants.push([name, content]);
  const bytes = constants.reduce((sum, [, content]) => sum + content.data.byteLength, 0);
  const { initializers, external } = encodeConstants(constants, bytes > externalFrom ? location : undefined);

  const parameter = dimParameters();
  const message = modelMessage({
    nodes: [...emitter.nodes, ...aliasNodes],
    initializers,
    inputs: graph.inputs.map((value) => valueMessage(nameOf(value), value, parameter)),
    outputs: [...graph.outputs].map(([name, value]) => valueMessage(name, value, parameter)),
    results: between(graph).map((value) => valueMessage(nameOf(value), value, parameter)),
    metadata: Object.entries(metadata),
  });
  const model = message.join();
  return external === undefined ? { model } : { model, external };
}

/**
 * What onnxruntime would have to infer, and loses track of at a -1, a Pad or a barrier: then it no longer fuses a
 * product with the sum that follows it, and its search for a buffer to use again, which passes by all free ones of
 * other shapes, takes most of the time in which a session is made.
 */
function between(graph: Graph): readonly Value[] {
  const outputs = new Set(graph.outputs.values());
  return graph.nodes.flatMap((node) => node.outputs).filter((value) => !outputs.has(value));
}

function lower<K extends Op>(
  emitter: Emitter,
  node: Node<K>,
  names: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
): void {
  const lowering = loweringTable[node.op];
  if ("emit" in lowering) {
    lowering.emit(emitter, node, names);
    return;
  }
  const domain = opTable[node.op].domain ?? "";
  emitter.node(node.op, names.inputs, names.outputs, lowering.attributes(node.attributes), domain);
}

/**
 * The ONNX name of every value. A node's result that is an output takes the output's name, so that nothing is
 * copied; a second name for it, or an output that is an input or constant, is an alias.
 */
function nameValues(graph: Graph): {
  readonly names: ReadonlyMap<Value, string>;
  readonly aliases: readonly { readonly name: string; readonly value: Value }[];
  readonly taken: Set<string>;
} {
  const names = new Map<Value, string>();
  const taken = new Set<string>();
  for (const input of graph.inputs) {
    if (graph.outputs.has(input.name)) {
      throw new GraphError(`${input.name} names both an input and an output; give the output another name`);
    }
    names.set(input, input.name);
    taken.add(input.name);
  }
  const computed = new Set(graph.nodes.flatMap((node) => node.outputs));
  const aliases: { readonly name: string; readonly value: Value }[] = [];
  for (const [name, value] of graph.outputs) {
    taken.add(name);
    if (computed.has(value) && !names.has(value)) names.set(value, name);
    else aliases.push({ name, value });
  }
  const own = (value: Value): void => {
    if (names.has(value)) return;
    let name = value.name;
    for (let suffix = 1; taken.has(name); suffix++) name = `${value.name}_${suffix}`;
    names.set(value, name);
    taken.add(name);
  };
  for (const value of graph.constants.keys()) own(value);
  for (const value of computed) own(value);
  return { names, aliases, taken };
}

/** Bare symbols keep their name; a size that is computed gets a name of its own, equal sizes the same. */
function dimParameters(): (dim: Dim) => string {
  const invented = new Map<Dim, string>();
  return (dim) => {
    if (/^\w+$/.test(String(dim))) return String(dim);
    let name = invented.get(dim);
    if (name === undefined) {
      name = `size_${invented.size}`;
      invented.set(dim, name);
    }
    return name;
  };
}

function encodeConstants(
  constants: readonly (readonly [string, Tensor])[],
  location: string | undefined,
): { readonly initializers: readonly ProtobufWriter[]; readonly external?: ExternalData } {
  if (location === undefined) {
    return { initializers: constants.map(([name, content]) => tensorMessage(name, content)) };
  }
  const entries: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  let end = 0;
  const initializers = constants.map(([name, content]) => {
    if (content.data.byteLength < SMALL) return tensorMessage(name, content);
    const offset = Math.ceil(end / PAGE) * PAGE;
    end = offset + content.data.byteLength;
    entries.push({ offset, bytes: tensorBytes(content) });
    return externalTensorMessage(name, content, location, offset);
  });
  return { initializers, external: { location, byteLength: end, entries } };
}

/** Writes the model to `path`, and its external data beside it, each atomically and without a second copy. */
export async function writeModel(graph: Graph, path: string, options: EncodeOptions = {}): Promise<void> {
  const location = options.location ?? `${basename(path)}.data`;
  const { model, external } = encodeModel(graph, { ...options, location });
  if (external !== undefined) {
    await writeAtomic(`${path.slice(0, path.length - basename(path).length)}${location}`, async (file) => {
      for (const { offset, bytes } of external.entries) {
        for (let done = 0; done < bytes.length;) {
          const { bytesWritten } = await file.write(
            bytes,
            done,
            Math.min(bytes.length - done, 1 << 26),
            offset + done,
          );
          done += bytesWritten;
        }
      }
    });
  }
  await writeAtomic(path, async (file) => {
    await file.writeFile(model);
  });
}
