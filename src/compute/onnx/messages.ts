/** The few ONNX messages that a model needs. Field numbers: onnx.proto3 of the ONNX repository, IR version 10. */
import { type Tensor, dtypes, tensorBytes } from "../tensor/index.ts";
import type { Dim } from "../graph/index.ts";
import type { Value } from "../graph/index.ts";
import { ProtobufWriter } from "./protobuf.ts";

export const IR_VERSION = 10;
export const OPSET = 21;

/** A node's attribute; the kind decides the message's type field. */
export type Attribute =
  | { readonly name: string; readonly int: number }
  | { readonly name: string; readonly ints: readonly number[] }
  | { readonly name: string; readonly float: number }
  | { readonly name: string; readonly string: string };

function attributeMessage(attribute: Attribute): ProtobufWriter {
  const message = new ProtobufWriter().string(1, attribute.name);
  if ("int" in attribute) return message.int(3, attribute.int).int(20, 2);
  if ("float" in attribute) return message.float(2, attribute.float).int(20, 1);
  if ("string" in attribute) return message.string(4, attribute.string).int(20, 3);
  for (const value of attribute.ints) message.int(8, value);
  return message.int(20, 7);
}

/** NodeProto. An absent optional input or output is the empty name. */
export function nodeMessage(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: readonly Attribute[],
  domain = "",
): ProtobufWriter {
  const message = new ProtobufWriter(128);
  for (const input of inputs) message.string(1, input);
  for (const output of outputs) message.string(2, output);
  // The first output's name names the node, so that onnxruntime's errors lead back to ours.
  message.string(3, outputs.find((output) => output !== "") ?? op).string(4, op);
  for (const attribute of attributes) message.message(5, attributeMessage(attribute));
  if (domain !== "") message.string(7, domain);
  return message;
}

/** TensorProto with its data inside. */
export function tensorMessage(name: string, tensor: Tensor): ProtobufWriter {
  return tensorHead(name, tensor).bytes(9, tensorBytes(tensor));
}

/** TensorProto whose data is `length` bytes at `offset` of the file `location` beside the model. */
export function externalTensorMessage(
  name: string,
  tensor: Tensor,
  location: string,
  offset: number,
): ProtobufWriter {
  const message = tensorHead(name, tensor);
  const entries = [
    ["location", location],
    ["offset", String(offset)],
    ["length", String(tensor.data.byteLength)],
  ] as const;
  for (const [key, value] of entries)
    message.message(13, new ProtobufWriter().string(1, key).string(2, value));
  return message.int(14, 1);
}

function tensorHead(name: string, tensor: Tensor): ProtobufWriter {
  const message = new ProtobufWriter();
  for (const size of tensor.shape) message.int(1, size);
  return message.int(2, dtypes[tensor.dtype].onnx).string(8, name);
}

/** ValueInfoProto of an input, output or result; `parameter` names a size that is not a number. */
export function valueMessage(name: string, value: Value, parameter: (dim: Dim) => string): ProtobufWriter {
  const shape = new ProtobufWriter();
  for (const dim of value.shape) {
    const size = new ProtobufWriter();
    shape.message(1, typeof dim === "number" ? size.int(1, dim) : size.string(2, parameter(dim)));
  }
  const tensor = new ProtobufWriter().int(1, dtypes[value.dtype].onnx).message(2, shape);
  return new ProtobufWriter().string(1, name).message(2, new ProtobufWriter().message(1, tensor));
}

export interface ModelParts {
  readonly nodes: readonly ProtobufWriter[];
  readonly initializers: readonly ProtobufWriter[];
  readonly inputs: readonly ProtobufWriter[];
  readonly outputs: readonly ProtobufWriter[];
  /** Shapes of results that a reader could not infer. */
  readonly results: readonly ProtobufWriter[];
  /** Key and value pairs for `metadata_props`. */
  readonly metadata: readonly (readonly [string, string])[];
}

/** ModelProto. */
export function modelMessage(parts: ModelParts): ProtobufWriter {
  const graph = new ProtobufWriter(1 << 16);
  for (const node of parts.nodes) graph.message(1, node);
  graph.string(2, "graph");
  for (const initializer of parts.initializers) graph.message(5, initializer);
  for (const input of parts.inputs) graph.message(11, input);
  for (const output of parts.outputs) graph.message(12, output);
  for (const result of parts.results) graph.message(13, result);
  const model = new ProtobufWriter(1 << 16).int(1, IR_VERSION).string(2, "attune").message(7, graph);
  model.message(8, new ProtobufWriter().string(1, "").int(2, OPSET));
  model.message(8, new ProtobufWriter().string(1, "com.microsoft").int(2, 1));
  for (const [key, value] of parts.metadata) {
    model.message(14, new ProtobufWriter().string(1, key).string(2, value));
  }
  return model;
}
