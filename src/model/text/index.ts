/** Tokenizers, chat templates with their loss mask, conversations. */
export type { Example, Message, Role } from "./conversation.ts";
export type { FoundToken, Span } from "./added-tokens.ts";
export { chatTemplate } from "./chat-template.ts";
export type { ChatTemplate, ChatTemplateOptions } from "./chat-template.ts";
export { tokenizerFromGguf } from "./gguf-vocabulary.ts";
export type { GgufVocabulary } from "./gguf-vocabulary.ts";
export { loadTokenizer, tokenizerFromSources } from "./load-tokenizer.ts";
export type { LoadedTokenizer, TokenizerSources } from "./load-tokenizer.ts";
export { documentEnd, newTokenizer } from "./new-tokenizer.ts";
export type { NewTokenizerOptions } from "./new-tokenizer.ts";
export { leadingSystem, pinnedMessages } from "./pinned.ts";
export { conversationRenderer } from "./render.ts";
export type {
  ConversationRenderer,
  RejectedReply,
  RenderedConversation,
  RenderedSequence,
  RendererOptions,
} from "./render.ts";
export { textSample } from "./sample.ts";
export { tokenizerFiles } from "./save-tokenizer.ts";
export type { TokenizerFiles } from "./save-tokenizer.ts";
export type { DecodeOptions, StreamDecoder } from "./token-bytes.ts";
export type { EncodeOptions, SegmentedIds, Tokenizer } from "./tokenizer.ts";
export { countWords, wordPattern } from "./train-encoding.ts";
export type { WordCounts } from "./train-encoding.ts";
