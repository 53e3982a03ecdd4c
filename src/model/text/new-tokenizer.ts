/** A newly trained tokenizer as the files that Hugging Face's libraries read, with ChatML as its chat template. */
import type { TokenizerFiles } from "./save-tokenizer.ts";
import { type EncodingOptions, type WordCounts, trainEncoding, wordPattern } from "./train-encoding.ts";

/** Ends a document, and pads. */
export const documentEnd = "<|endoftext|>";

const turnTokens = ["<|im_start|>", "<|im_end|>"] as const;

/** ChatML; no default system message, so that what is rendered is what was given. */
const chatMl =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export interface NewTokenizerOptions extends Omit<EncodingOptions, "merges"> {
  /** V: 256 bytes, the merges, and the special tokens. */
  readonly vocabulary: number;
  /** Special tokens without a meaning yet. */
  readonly reserved: number;
  /** Tokens: what the model is made for. */
  readonly contextLength: number;
}

/** The roles are words that every conversation repeats. */
const roles = ["system", "user", "assistant"];

/** Learns the merges from `counts`. */
export function newTokenizer(counts: WordCounts, options: NewTokenizerOptions): TokenizerFiles {
  const { vocabulary, reserved, contextLength, ...limits } = options;
  const specials = [
    documentEnd,
    ...turnTokens,
    ...Array.from({ length: reserved }, (_, i) => `<|reserved_${i}|>`),
  ];
  const known = new Map(counts);
  for (const role of roles) known.set(role, (known.get(role) ?? 0) + 1e6);
  const encoding = trainEncoding(known, { ...limits, merges: vocabulary - 256 - specials.length });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  const split = { type: "Split", pattern: { Regex: wordPattern }, behavior: "Isolated", invert: false };
  return {
    tokenizerJson: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: specials.map((content, index) => ({
        id: encoding.tokens.length + index,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: { type: "NFC" },
      pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
      post_processor: byteLevel,
      decoder: byteLevel,
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: "",
        end_of_word_suffix: "",
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(encoding.tokens.map((token, id) => [token, id])),
        merges: encoding.merges.map(([left, right]) => `${left} ${right}`),
      },
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      model_max_length: contextLength,
      bos_token: null,
      eos_token: turnTokens[1],
      pad_token: documentEnd,
      unk_token: null,
      clean_up_tokenization_spaces: false,
      chat_template: chatMl,
    },
  };
}
