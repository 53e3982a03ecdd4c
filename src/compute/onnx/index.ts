/** Graphs as ONNX models. */
export { encodeModel, writeModel } from "./encode.ts";
export type { EncodeOptions, EncodedModel, ExternalData } from "./encode.ts";
export { ProtobufWriter } from "./protobuf.ts";
