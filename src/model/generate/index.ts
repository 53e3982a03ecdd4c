/** Generation: prefill and decode on key-value caches, sampling, stop strings, batches that refill. */
export { generationEngine } from "./engine.ts";
export type { EngineSize, GenerationEngine, NextToken, Prompt } from "./engine.ts";
export { generationGraph } from "./graph.ts";
export { generationMemory } from "./memory.ts";
export type { GenerationMemory } from "./memory.ts";
export { generateReplies } from "./replies.ts";
export type { ReplyEvent, ReplyOptions, ReplyRequest, StoppedBy } from "./replies.ts";
export { greedy, isPlainGreedy, sample } from "./sampler.ts";
export type { SamplingOptions } from "./sampler.ts";
export { stopFilter } from "./stop.ts";
export type { StopFilter } from "./stop.ts";
