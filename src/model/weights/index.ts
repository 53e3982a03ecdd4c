/** Weights from their files: safetensors and GGUF as lazily read stores; adapters in PEFT's format; merging. */
export { isAdapterFolder, loraScale, saveAdapter } from "./adapter.ts";
export type { Adapter, LoraPair, TokenRows } from "./adapter.ts";
export { loadAdapter, readAdapterSettings } from "./adapter-read.ts";
export type { AdapterConfig, ReadAdapterConfig } from "./adapter-config.ts";
export { openGguf } from "./gguf.ts";
export type { GgufFile } from "./gguf.ts";
export type { GgufValue } from "./gguf-cursor.ts";
export type { GgufVocabularyData } from "./gguf-vocabulary.ts";
export { mergeLora, pairForWeight } from "./merge.ts";
export { openCheckpoint, openSafetensors, readIndex } from "./safetensors.ts";
export type { SafetensorsFile } from "./safetensors.ts";
export { toWrite, writeSafetensors } from "./safetensors-writer.ts";
export type { TensorToWrite, WrittenType } from "./safetensors-writer.ts";
export { isStorageType, storageBytes, storageFormats } from "./storage-formats.ts";
export type { StorageFormat, StorageType } from "./storage-formats.ts";
export { storedBlockFormat, storedBlockTypes, storedBlocks } from "./stored-blocks.ts";
export { memoryWeights, storeOver } from "./weight-store.ts";
export type { RawWeight, WeightInfo, WeightStore } from "./weight-store.ts";
