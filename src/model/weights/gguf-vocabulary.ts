/** A GGUF's own vocabulary as a plain object, for the text room to build a tokenizer from. */
import type { GgufValue } from "./gguf-cursor.ts";
import { brokenGguf } from "./gguf-cursor.ts";

/** The `tokenizer.*` metadata, typed. Source: ggml docs/gguf.md, "Tokenizer". */
export interface GgufVocabularyData {
  /** `gpt2` (byte-level BPE), `llama` (SentencePiece) … */
  readonly model: string;
  /** Name of the pre-tokenizer, such as `smollm`; only for byte-level BPE. */
  readonly pre?: string;
  readonly tokens: readonly string[];
  /** Space-separated pairs, best first; only for byte-level BPE. */
  readonly merges?: readonly string[];
  /** One a token; only for SentencePiece. */
  readonly scores?: readonly number[];
  /** One a token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly tokenTypes?: readonly number[];
  readonly bosId?: number;
  readonly eosId?: number;
  /** Ends a turn, where that is another token than the end of the text. */
  readonly endOfTurnId?: number;
  readonly unknownId?: number;
  readonly paddingId?: number;
  readonly addBos?: boolean;
  readonly addEos?: boolean;
  readonly addSpacePrefix?: boolean;
  readonly chatTemplate?: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** `undefined` when the file holds no vocabulary. */
export function ggufVocabulary(
  metadata: ReadonlyMap<string, GgufValue>,
  path: string,
): GgufVocabularyData | undefined {
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.${key}`);
  const wrong = (key: string, rule: string): Error => brokenGguf(`tokenizer.${key} ${rule}`, path);
  const tokens = get("ggml.tokens");
  if (tokens === undefined) return undefined;
  const model = get("ggml.model");
  if (typeof model !== "string") throw wrong("ggml.model", "is missing or not text");
  if (!isArrayOf(tokens, "string")) throw wrong("ggml.tokens", "is not a list of text");
  const vocabulary: Partial<Mutable<GgufVocabularyData>> = { model, tokens };

  const merges = get("ggml.merges");
  if (merges !== undefined) {
    if (!isArrayOf(merges, "string")) throw wrong("ggml.merges", "is not a list of text");
    vocabulary.merges = merges;
  }
  for (const [key, field] of [
    ["ggml.scores", "scores"],
    ["ggml.token_type", "tokenTypes"],
  ] as const) {
    const list = get(key);
    if (list === undefined) continue;
    if (!isArrayOf(list, "number") || list.length !== tokens.length) {
      throw wrong(key, `is not a list of ${tokens.length} numbers, one a token`);
    }
    vocabulary[field] = list;
  }
  for (const [key, field] of [
    ["ggml.bos_token_id", "bosId"],
    ["ggml.eos_token_id", "eosId"],
    ["ggml.eot_token_id", "endOfTurnId"],
    ["ggml.unknown_token_id", "unknownId"],
    ["ggml.padding_token_id", "paddingId"],
  ] as const) {
    const id = get(key);
    // 0xFFFFFFFF is llama.cpp's "none".
    if (id === undefined || id === 0xffff_ffff || id === -1) continue;
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= tokens.length) {
      throw wrong(key, `is ${String(id).slice(0, 40)}, but there are ${tokens.length} tokens`);
    }
    vocabulary[field] = id;
  }
  for (const [key, field] of [
    ["ggml.add_bos_token", "addBos"],
    ["ggml.add_eos_token", "addEos"],
    ["ggml.add_space_prefix", "addSpacePrefix"],
  ] as const) {
    const flag = get(key);
    if (flag === undefined) continue;
    if (typeof flag !== "boolean") throw wrong(key, "is not true or false");
    vocabulary[field] = flag;
  }
  for (const [key, field] of [
    ["ggml.pre", "pre"],
    ["chat_template", "chatTemplate"],
  ] as const) {
    const text = get(key);
    if (text === undefined) continue;
    if (typeof text !== "string") throw wrong(key, "is not text");
    vocabulary[field] = text;
  }
  return vocabulary as GgufVocabularyData;
}

function isArrayOf<K extends "string" | "number">(
  value: GgufValue,
  kind: K,
): value is readonly (K extends "string" ? string & GgufValue : number & GgufValue)[] {
  return Array.isArray(value) && value.every((item) => typeof item === kind);
}
