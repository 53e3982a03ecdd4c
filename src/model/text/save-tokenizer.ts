/** A tokenizer written as the files that Hugging Face's libraries read: for exports, and for a GGUF's vocabulary. */
import type { ChatTemplate } from "./chat-template.ts";
import { space } from "./pre-tokenize.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { PreTokenizerConfig } from "./tokenizer-json.ts";

export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizerJson: unknown;
  /** `tokenizer_config.json`, with the chat template in it. */
  readonly tokenizerConfig: unknown;
}

/** What was added to the tokenizer, such as a turn separator, is in the files. */
export function tokenizerFiles(tokenizer: Tokenizer, template?: ChatTemplate): TokenizerFiles {
  const { model, added_tokens: added, prefix, suffix, ...definition } = tokenizer.definition;
  const textOf = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : tokenizer.tokenOf(id);
  const roles = {
    bos_token: textOf(tokenizer.bosId),
    eos_token: textOf(tokenizer.eosId),
    pad_token: textOf(tokenizer.paddingId),
    unk_token: textOf(tokenizer.unknownId),
  };
  return {
    tokenizerJson: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added.toSorted((a, b) => a.id - b.id),
      normalizer: definition.normalizer,
      pre_tokenizer: preTokenizer(definition.pre_tokenizer),
      post_processor: postProcessor(tokenizer, prefix, suffix),
      decoder: decoder(tokenizer),
      model: {
        type: "BPE",
        dropout: null,
        unk_token: model.unknownToken ?? null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: model.fuseUnknown,
        byte_fallback: model.byteFallback,
        ignore_merges: model.ignoreMerges,
        vocab: Object.fromEntries(model.vocabulary),
        merges: model.merges,
      },
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      ...Object.fromEntries(Object.entries(roles).filter(([, text]) => text !== undefined)),
      add_bos_token: tokenizer.addsBos,
      clean_up_tokenization_spaces: false,
      ...(template === undefined ? {} : { chat_template: template.source }),
    },
  };
}

/** Hugging Face's reader wants a field that changes no ids. */
function preTokenizer(config: PreTokenizerConfig | null): unknown {
  if (config?.type === "Sequence")
    return { ...config, pretokenizers: config.pretokenizers.map(preTokenizer) };
  return config?.type === "ByteLevel" ? { ...config, trim_offsets: true } : config;
}

function postProcessor(tokenizer: Tokenizer, prefix: readonly string[], suffix: readonly string[]): unknown {
  const special = (id: string): unknown => ({ SpecialToken: { id, type_id: 0 } });
  const text = { Sequence: { id: "A", type_id: 0 } };
  const single = [...prefix.map(special), text, ...suffix.map(special)];
  const used = [...new Set([...prefix, ...suffix])];
  return {
    type: "TemplateProcessing",
    single,
    pair: [...single, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: Object.fromEntries(
      used.map((id) => [id, { id, ids: [tokenizer.idOf(id)], tokens: [id] }]),
    ),
  };
}

function decoder(tokenizer: Tokenizer): unknown {
  const { decoder: kind, dropsLeadingSpace } = tokenizer.definition;
  if (kind === "byte-level") {
    return { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };
  }
  return {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: space }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      ...(dropsLeadingSpace ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
    ],
  };
}
