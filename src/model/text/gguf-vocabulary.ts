/** A tokenizer from the vocabulary inside a GGUF file. */
import { UserError, excerpt } from "../../util/index.ts";
import { space } from "./pre-tokenize.ts";
import { type LoadedTokenizer, plainSpecial } from "./load-tokenizer.ts";
import { type TokenizerDefinition, createTokenizer } from "./tokenizer.ts";
import type { AddedToken, NormalizerConfig, PreTokenizerConfig } from "./tokenizer-json.ts";

/** The `tokenizer.ggml.*` fields of a GGUF file, as they stand there. Source: the GGUF specification. */
export interface GgufVocabulary {
  /** `tokenizer.ggml.model`: "gpt2" is byte-level BPE, "llama" is SentencePiece BPE. Others are refused. */
  readonly model: string;
  /** `tokenizer.ggml.pre`: how byte-level BPE cuts words. */
  readonly pre?: string;
  readonly tokens: readonly string[];
  /** "left right", best first (byte-level). */
  readonly merges?: readonly string[];
  /** One a token, higher merges first (SentencePiece). */
  readonly scores?: ArrayLike<number>;
  /** One a token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly tokenTypes?: ArrayLike<number>;
  readonly bosId?: number;
  readonly eosId?: number;
  /** `tokenizer.ggml.eot_token_id`, where a turn ends with another token than the text. */
  readonly endOfTurnId?: number;
  readonly unknownId?: number;
  readonly paddingId?: number;
  readonly addBos?: boolean;
  readonly addEos?: boolean;
  /** SentencePiece: whether a text starts with a space of its own; absent means yes. */
  readonly addSpacePrefix?: boolean;
  readonly chatTemplate?: string;
}

interface WordRule {
  readonly normalizer?: NormalizerConfig;
  readonly steps: readonly PreTokenizerConfig[];
  readonly ignoreMerges?: boolean;
  readonly addsBos?: boolean;
}

const split = (pattern: string): PreTokenizerConfig => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
const bytes = (useWords: boolean): PreTokenizerConfig => ({
  type: "ByteLevel",
  add_prefix_space: false,
  use_regex: useWords,
});

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const upper = "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}";
const lower = "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}";
const blanks = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const llama3 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blanks}`;
const qwen2 = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blanks}`;
const tekken =
  `[^\\r\\n\\p{L}\\p{N}]?[${upper}]*[${lower}]+|[^\\r\\n\\p{L}\\p{N}]?[${upper}]+[${lower}]*|\\p{N}` +
  `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${blanks}`;

const gpt2Rule: WordRule = { steps: [bytes(true)] };
const digitsRule: WordRule = { steps: [{ type: "Digits", individual_digits: true }, bytes(true)] };
const llama3Rule: WordRule = { steps: [split(llama3), bytes(false)], ignoreMerges: true, addsBos: true };
const qwen2Rule: WordRule = { normalizer: { type: "NFC" }, steps: [split(qwen2), bytes(false)] };

const cjk = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
const deepSeekMarks = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+";

const rulesFor = (rule: WordRule, names: string): (readonly [string, WordRule])[] =>
  names.split(" ").map((name) => [name, rule]);

/**
 * `tokenizer.ggml.pre` → how words are cut, as in the models' own tokenizer.json. Source: llama.cpp's
 * `llama_vocab::impl::load` for the names and the expressions of each.
 */
const wordRules: ReadonlyMap<string, WordRule> = new Map<string, WordRule>([
  [
    "default",
    {
      steps: [
        split("[\\p{P}\\$\\+<=>\\^~\\|]+"),
        split("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"),
        split("\\p{N}+"),
        split("[0-9][0-9][0-9]"),
        bytes(false),
      ],
    },
  ],
  ...rulesFor(gpt2Rule, "gpt-2 phi-2 mpt olmo jais trillion gigachat mellum a.x-4.0 granite-docling"),
  ...rulesFor(digitsRule, "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2"),
  ...rulesFor(llama3Rule, "llama-bpe llama3 llama-v3 falcon3 pixtral midm-2.0 lfm2"),
  ...rulesFor({ steps: [split(llama3), bytes(false)] }, "smaug-bpe dbrx"),
  ...rulesFor(qwen2Rule, "qwen2 deepseek-r1-qwen megrez kormo f2llmv2"),
  ...rulesFor({ steps: [split(qwen2), bytes(false)] }, "stablelm2 hunyuan solar-open grok-2"),
  ...rulesFor({ steps: [split(tekken), bytes(false)], ignoreMerges: true, addsBos: true }, "tekken"),
  ...rulesFor(
    { steps: [split("\\p{N}{1,3}"), split(llama3.replace("{1,3}", "+")), bytes(false)], ignoreMerges: true },
    "minicpm5",
  ),
  ...rulesFor(
    { steps: ["[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", cjk, "\\p{N}"].map(split).concat(bytes(false)) },
    "deepseek-coder",
  ),
  ...rulesFor(
    {
      steps: ["[\r\n]", "\\s?[\\p{Lu}\\p{Ll}\\p{Lt}]+", deepSeekMarks, "\\s+$", cjk, "\\p{N}+"]
        .map(split)
        .concat(bytes(false)),
    },
    "deepseek-llm",
  ),
]);

const control = 3;
const userDefined = 4;
const unknown = 2;

/** Builds the tokenizer; `at` names the file for messages. */
export function tokenizerFromGguf(vocabulary: GgufVocabulary, at = "the GGUF file"): LoadedTokenizer {
  checkSizes(vocabulary, at);
  const parts =
    vocabulary.model === "gpt2"
      ? byteLevelParts(vocabulary, at)
      : vocabulary.model === "llama"
        ? sentencePieceParts(vocabulary, at)
        : refuse("model", vocabulary.model, ["gpt2", "llama"], at);
  const { tokens, bosId, eosId, unknownId, paddingId, endOfTurnId } = vocabulary;
  const addBos = (vocabulary.addBos ?? parts.addsBos) && bosId !== undefined;
  const definition: TokenizerDefinition = {
    ...parts.file,
    tokens,
    added_tokens: addedTokens(vocabulary),
    prefix: addBos ? [tokens[bosId]!] : [],
    suffix: vocabulary.addEos === true && eosId !== undefined ? [tokens[eosId]!] : [],
    ...(bosId === undefined ? {} : { bosId }),
    ...(eosId === undefined ? {} : { eosId }),
    ...(unknownId === undefined ? {} : { unknownId }),
    ...(paddingId === undefined ? {} : { paddingId }),
  };
  return {
    tokenizer: createTokenizer(definition),
    chatTemplate: vocabulary.chatTemplate,
    generationStopIds: [eosId, endOfTurnId].filter((id) => id !== undefined),
  };
}

type FileParts = Pick<
  TokenizerDefinition,
  "normalizer" | "pre_tokenizer" | "decoder" | "dropsLeadingSpace" | "model"
>;

function byteLevelParts(vocabulary: GgufVocabulary, at: string): { file: FileParts; addsBos: boolean } {
  const pre = vocabulary.pre ?? "default";
  const rule = wordRules.get(pre) ?? refuse("pre", pre, [...wordRules.keys()], at);
  if (vocabulary.merges === undefined) throw damaged("tokenizer.ggml.merges is missing", at);
  const merges = vocabulary.merges.map((merge, index): [string, string] => {
    // A token of the byte alphabet holds no space, so the one space divides; a leading one cannot.
    const middle = merge.indexOf(" ", 1);
    if (middle < 1 || middle === merge.length - 1) {
      throw damaged(`tokenizer.ggml.merges[${index}] is "${excerpt(merge, 40)}", not two tokens`, at);
    }
    return [merge.slice(0, middle), merge.slice(middle + 1)];
  });
  return {
    addsBos: rule.addsBos ?? false,
    file: {
      normalizer: rule.normalizer ?? null,
      pre_tokenizer: { type: "Sequence", pretokenizers: rule.steps },
      decoder: "byte-level",
      dropsLeadingSpace: false,
      model: {
        vocabulary: firstIds(vocabulary.tokens),
        merges,
        fuseUnknown: false,
        byteFallback: false,
        ignoreMerges: rule.ignoreMerges ?? false,
      },
    },
  };
}

function sentencePieceParts(vocabulary: GgufVocabulary, at: string): { file: FileParts; addsBos: boolean } {
  const { tokens, unknownId, scores } = vocabulary;
  const ids = firstIds(tokens);
  const listed = vocabulary.merges?.map((merge) => merge.split(" ") as [string, string]);
  if (listed === undefined && scores === undefined) throw damaged("tokenizer.ggml.scores is missing", at);
  const prefix = vocabulary.addSpacePrefix ?? true;
  const spaces: NormalizerConfig = { type: "Replace", pattern: { String: " " }, content: space };
  return {
    addsBos: true,
    file: {
      normalizer: prefix
        ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: space }, spaces] }
        : spaces,
      pre_tokenizer: null,
      decoder: "sentencepiece",
      dropsLeadingSpace: prefix,
      model: {
        vocabulary: ids,
        merges: listed ?? mergesFromScores(vocabulary, ids, scores!),
        ...(unknownId === undefined ? {} : { unknownToken: tokens[unknownId]! }),
        fuseUnknown: true,
        byteFallback: true,
        ignoreMerges: false,
      },
    },
  };
}

/**
 * SentencePiece merges whatever pair gives the best-scored piece; as a list that is every way to cut a piece into
 * two pieces, best score first. Control and unknown tokens are no pieces: text must not become one.
 */
function mergesFromScores(
  { tokens, tokenTypes }: GgufVocabulary,
  ids: ReadonlyMap<string, number>,
  scores: ArrayLike<number>,
): [string, string][] {
  const isPiece = (id: number): boolean => tokenTypes?.[id] !== control && tokenTypes?.[id] !== unknown;
  const found: { pair: [string, string]; score: number; left: number; right: number; order: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (!isPiece(id) || ids.get(token) !== id || token.length > maxPieceLength) continue;
    const characters = [...token];
    for (let cut = 1; cut < characters.length; cut++) {
      const pair: [string, string] = [characters.slice(0, cut).join(""), characters.slice(cut).join("")];
      const [left, right] = [ids.get(pair[0]), ids.get(pair[1])];
      if (left === undefined || right === undefined || !isPiece(left) || !isPiece(right)) continue;
      found.push({
        pair,
        score: scores[id]!,
        left: cut,
        right: characters.length - cut,
        order: found.length,
      });
    }
  }
  found.sort((a, b) => b.score - a.score || b.left - a.left || b.right - a.right || a.order - b.order);
  return found.map((merge) => merge.pair);
}

/** Pieces beyond this many characters are not merged into: the cuts of one would cost its length squared. */
const maxPieceLength = 512;

function addedTokens({ tokens, tokenTypes, ...roles }: GgufVocabulary): AddedToken[] {
  const added = new Map<number, AddedToken>();
  for (const [id, content] of tokens.entries()) {
    const type = tokenTypes?.[id];
    if (content === "" || (type !== control && type !== userDefined)) continue;
    added.set(id, { ...plainSpecial(id, content), special: type === control });
  }
  for (const id of [roles.bosId, roles.eosId, roles.unknownId, roles.paddingId, roles.endOfTurnId]) {
    if (id !== undefined && tokens[id] !== "") added.set(id, plainSpecial(id, tokens[id]!));
  }
  return [...added.values()];
}

function firstIds(tokens: readonly string[]): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (!ids.has(token)) ids.set(token, id);
  return ids;
}

function checkSizes(vocabulary: GgufVocabulary, at: string): void {
  const { tokens, scores, tokenTypes } = vocabulary;
  if (tokens.length === 0) throw damaged("tokenizer.ggml.tokens is empty", at);
  for (const [name, list] of [
    ["scores", scores],
    ["token_type", tokenTypes],
  ] as const) {
    if (list !== undefined && list.length !== tokens.length) {
      throw damaged(`tokenizer.ggml.${name} has ${list.length} entries for ${tokens.length} tokens`, at);
    }
  }
  for (const role of ["bosId", "eosId", "unknownId", "paddingId", "endOfTurnId"] as const) {
    const id = vocabulary[role];
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < tokens.length)) {
      throw damaged(`its ${role} is ${id}, but there are ${tokens.length} tokens`, at);
    }
  }
}

function refuse(field: string, value: string, supported: readonly string[], at: string): never {
  throw new UserError(`the tokenizer "${excerpt(value, 40)}" (tokenizer.ggml.${field}) is not supported`, {
    at,
    next: `Supported: ${supported.join(", ")}.`,
  });
}

function damaged(problem: string, at: string): UserError {
  return new UserError(`not a usable tokenizer: ${problem}`, { at, next: "Fetch the model file again." });
}
