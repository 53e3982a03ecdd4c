/** A model with its tokenizer and chat template joined: what training, evaluation and serving open. */
import { float32 } from "../compute/tensor/index.ts";
import { type ModelSpec, withSlidingWindow } from "./decoder/index.ts";
import { type FetchOptions, type OpenModel, openModel } from "./hub/index.ts";
import {
  type ConversationRenderer,
  type LoadedTokenizer,
  chatTemplate,
  conversationRenderer,
  tokenizerFromGguf,
  tokenizerFromSources,
} from "./text/index.ts";
import type { WeightInfo, WeightStore } from "./weights/index.ts";

export interface ChatModel {
  readonly opened: OpenModel;
  /** With a row more than the checkpoint's where the separator is a new token, and the window that was asked for. */
  readonly spec: ModelSpec;
  readonly store: WeightStore;
  readonly renderer: ConversationRenderer;
  /** The model brought no chat template; ChatML stands in. */
  readonly defaultTemplate: boolean;
  close(): Promise<void>;
}

export interface ChatModelOptions extends FetchOptions {
  /** A token written between turns; it joins the vocabulary when it is new. */
  readonly separator?: string;
  /** Exchanges at the beginning that stay when a conversation must be cut; 0 by default. */
  readonly keepFirstTurns?: number;
  /** Tokens that every layer sees back, itself included; absent: as the model says. */
  readonly slidingWindow?: number;
}

/** Opens headers and tokenizer; weights are read when they are asked for. Close the result when done. */
export async function openChatModel(reference: string, options: ChatModelOptions = {}): Promise<ChatModel> {
  const opened = await openModel(reference, options);
  try {
    return chatModelOf(opened, options);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** An opened model with its tokenizer and template; it stays the caller's to close where this throws. */
export function chatModelOf(
  opened: OpenModel,
  options: Omit<ChatModelOptions, keyof FetchOptions> = {},
): ChatModel {
  const { slidingWindow } = options;
  const own = slidingWindow === undefined ? opened.spec : withSlidingWindow(opened.spec, slidingWindow);
  const { tokenizer, chatTemplate: embedded, generationStopIds } = tokenizerOf(opened);
  const template = chatTemplate(opened.chatTemplate ?? embedded, tokenizer, { at: opened.tokenizer.at });
  const renderer = conversationRenderer({
    tokenizer,
    template,
    stopIds: [...generationStopIds, ...opened.spec.eosIds],
    ...(options.separator === undefined ? {} : { separator: options.separator }),
    ...(options.keepFirstTurns === undefined ? {} : { keepFirstTurns: options.keepFirstTurns }),
  });
  const rows = renderer.tokenizer.vocabularySize;
  const grown = rows > opened.spec.vocabulary;
  return {
    opened,
    spec: grown ? { ...own, vocabulary: rows } : own,
    store: grown ? withMeanRows(opened.store, opened.spec.vocabulary, rows) : opened.store,
    renderer,
    defaultTemplate: template.isDefault,
    close: opened.close,
  };
}

function tokenizerOf({ tokenizer, generationConfig, chatTemplate }: OpenModel): LoadedTokenizer {
  if (tokenizer.kind === "gguf") return tokenizerFromGguf(tokenizer.vocabulary, tokenizer.at);
  return tokenizerFromSources({
    tokenizerJson: tokenizer.tokenizerJson,
    ...(tokenizer.tokenizerConfig === undefined ? {} : { tokenizerConfig: tokenizer.tokenizerConfig }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(generationConfig === undefined ? {} : { generationConfig }),
    at: tokenizer.at,
  });
}

/** New tokens get the mean of all rows, as transformers does: near every known token, far from none (Hewitt, 2021). */
function withMeanRows(store: WeightStore, from: number, to: number): WeightStore {
  const tables = new Set(["model.embed_tokens.weight", "lm_head.weight"]);
  const grown = (name: string, info: WeightInfo): WeightInfo =>
    tables.has(name) ? { ...info, shape: [to, info.shape[1]!] } : info;
  return {
    ...store,
    find: (name) => {
      const info = store.find(name);
      return info === undefined ? undefined : grown(name, info);
    },
    info: (name) => grown(name, store.info(name)),
    read: async (name) => {
      const weight = await store.read(name);
      if (!tables.has(name)) return weight;
      const width = weight.shape[1]!;
      const data = new Float32Array(to * width);
      data.set(weight.data);
      const mean = new Float64Array(width);
      for (let i = 0; i < weight.data.length; i++) mean[i % width]! += weight.data[i]! / from;
      for (let row = from; row < to; row++) data.set(mean, row * width);
      return float32([to, width], data);
    },
  };
}
