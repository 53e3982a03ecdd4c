/** The `tokenizer.json` format of Hugging Face's tokenizers, as far as LLaMA-family models use it, checked. */
import * as huggingFace from "@huggingface/tokenizers";
import { z } from "zod";
import { UserError, errorMessage, excerpt } from "../../util/index.ts";

export type Pattern = { readonly String: string } | { readonly Regex: string };
export type SplitBehavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

export type NormalizerConfig =
  | { readonly type: "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" }
  | { readonly type: "Prepend"; readonly prepend: string }
  | { readonly type: "Replace"; readonly pattern: Pattern; readonly content: string }
  | { readonly type: "Strip"; readonly strip_left: boolean; readonly strip_right: boolean }
  | { readonly type: "Sequence"; readonly normalizers: readonly NormalizerConfig[] };

export type PreTokenizerConfig =
  | { readonly type: "ByteLevel"; readonly add_prefix_space: boolean; readonly use_regex: boolean }
  | { readonly type: "Digits"; readonly individual_digits: boolean }
  | {
      readonly type: "Split";
      readonly pattern: Pattern;
      readonly behavior: SplitBehavior;
      readonly invert: boolean;
    }
  | {
      readonly type: "Metaspace";
      readonly replacement: string;
      readonly prepend_scheme: "always" | "first" | "never";
      readonly split: boolean;
    }
  | { readonly type: "Sequence"; readonly pretokenizers: readonly PreTokenizerConfig[] };

/** A token that is found in text as it stands, before any cutting. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only between word borders. */
  readonly single_word: boolean;
  /** Takes the white space before it, after it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Found after normalizing rather than before. */
  readonly normalized: boolean;
  readonly special: boolean;
}

export interface TokenizerFile {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: NormalizerConfig | null;
  readonly pre_tokenizer: PreTokenizerConfig | null;
  /** Token texts that `addSpecialTokens` puts before and after, in order. */
  readonly prefix: readonly string[];
  readonly suffix: readonly string[];
  readonly decoder: "byte-level" | "sentencepiece";
  /** Decoding drops one leading space, which encoding had put there. */
  readonly dropsLeadingSpace: boolean;
  readonly model: {
    readonly vocabulary: ReadonlyMap<string, number>;
    readonly merges: readonly (readonly [string, string])[];
    readonly unknownToken?: string;
    readonly fuseUnknown: boolean;
    readonly byteFallback: boolean;
    readonly ignoreMerges: boolean;
  };
}

/** Ids above this are not a vocabulary but an attack on memory. */
export const maxTokenId = 4_000_000;

const tokenId = z.int().min(0).max(maxTokenId);
const pattern: z.ZodType<Pattern> = z.union([
  z.object({ String: z.string() }),
  z.object({ Regex: z.string().max(20_000) }),
]);

const normalizerSchema: z.ZodType<NormalizerConfig> = z.lazy(() =>
  z.discriminatedUnion("type", [
    z.object({ type: z.enum(["NFC", "NFD", "NFKC", "NFKD", "Lowercase"]) }),
    z.object({ type: z.literal("Prepend"), prepend: z.string() }),
    z.object({ type: z.literal("Replace"), pattern, content: z.string() }),
    z.object({ type: z.literal("Strip"), strip_left: z.boolean(), strip_right: z.boolean() }),
    z.object({ type: z.literal("Sequence"), normalizers: z.array(normalizerSchema) }),
  ]),
);

const preTokenizerSchema: z.ZodType<PreTokenizerConfig> = z.lazy(() =>
  z.discriminatedUnion("type", [
    z.object({
      type: z.literal("ByteLevel"),
      add_prefix_space: z.boolean().default(true),
      use_regex: z.boolean().default(true),
    }),
    z.object({ type: z.literal("Digits"), individual_digits: z.boolean().default(false) }),
    z.object({
      type: z.literal("Split"),
      pattern,
      behavior: z.enum(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]),
      invert: z.boolean().default(false),
    }),
    z
      .object({
        type: z.literal("Metaspace"),
        replacement: z.string().length(1).default("\u2581"),
        add_prefix_space: z.boolean().optional(),
        prepend_scheme: z.enum(["always", "first", "never"]).optional(),
        split: z.boolean().default(true),
      })
      .transform(({ add_prefix_space: legacy, prepend_scheme: scheme, ...rest }) => ({
        ...rest,
        prepend_scheme: scheme ?? (legacy === false ? ("never" as const) : ("always" as const)),
      })),
    z.object({ type: z.literal("Sequence"), pretokenizers: z.array(preTokenizerSchema) }),
  ]),
);

const addedTokenSchema = z.object({
  id: tokenId,
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

const namedStep = z.looseObject({ type: z.string() });

const fileSchema = z.object({
  added_tokens: z.array(addedTokenSchema).max(1_000_000).nullish(),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  decoder: z.unknown(),
  model: z.looseObject({
    type: z.string().optional(),
    vocab: z.unknown(),
    merges: z.unknown(),
    unk_token: z.string().nullish(),
    fuse_unk: z.boolean().nullish(),
    byte_fallback: z.boolean().nullish(),
    ignore_merges: z.boolean().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
  }),
});

/** Checks a parsed `tokenizer.json`; `at` is its path for messages. */
export function parseTokenizerJson(json: unknown, at: string): TokenizerFile {
  const file = check(fileSchema, json, "the file", at);
  const { model } = file;
  const modelType = model.type ?? "BPE";
  if (modelType !== "BPE") throw unsupported("model", modelType, "BPE", at);
  for (const field of ["continuing_subword_prefix", "end_of_word_suffix"] as const) {
    if ((model[field] ?? "") !== "") throw unsupported(`model.${field}`, model[field]!, "none", at);
  }
  const vocabulary = parseVocabulary(model.vocab, at);
  const decoder = parseDecoder(file.decoder, at);
  return {
    added_tokens: file.added_tokens ?? [],
    normalizer: step(normalizerSchema, file.normalizer, "normalizer", normalizerNames, "normalizers", at),
    pre_tokenizer: step(
      preTokenizerSchema,
      file.pre_tokenizer,
      "pre_tokenizer",
      preTokenizerNames,
      "pretokenizers",
      at,
    ),
    ...parsePostProcessor(file.post_processor, at),
    decoder: decoder.kind,
    dropsLeadingSpace: decoder.dropsLeadingSpace,
    model: {
      vocabulary,
      merges: parseMerges(model.merges, at),
      ...(typeof model.unk_token === "string" ? { unknownToken: model.unk_token } : {}),
      fuseUnknown: model.fuse_unk ?? false,
      byteFallback: model.byte_fallback ?? false,
      ignoreMerges: model.ignore_merges ?? false,
    },
  };
}

/** The package's own declarations name their files without extensions, which Node's resolution does not follow. */
interface PatternCompiler {
  readonly SplitPreTokenizer: new (config: {
    readonly type: "Split";
    readonly pattern: { readonly Regex?: string; readonly String?: string };
    readonly invert: boolean;
  }) => { readonly pattern: RegExp | null };
}

/** Oniguruma to JavaScript: the one thing here that is long and well kept elsewhere. */
export function compilePattern(source: Pattern): RegExp {
  const { SplitPreTokenizer } = huggingFace as unknown as PatternCompiler;
  let cause: unknown;
  try {
    const compiled = new SplitPreTokenizer({ type: "Split", pattern: source, invert: true }).pattern;
    if (compiled !== null) return compiled;
  } catch (error) {
    cause = error;
  }
  const reason =
    cause === undefined ? "it is neither a string nor a regular expression" : errorMessage(cause);
  throw new UserError(
    `the tokenizer's pattern ${excerpt(JSON.stringify(source))} cannot be compiled: ${reason}`,
    {
      next: "Fetch the tokenizer's files again.",
      cause,
    },
  );
}

function parseVocabulary(vocab: unknown, at: string): Map<string, number> {
  if (typeof vocab !== "object" || vocab === null || Array.isArray(vocab)) {
    throw damaged("model.vocab must be an object of token: id", at);
  }
  const vocabulary = new Map<string, number>();
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isInteger(id) || id < 0 || id > maxTokenId) {
      throw damaged(
        `model.vocab gives ${excerpt(JSON.stringify(token), 40)} the id ${excerpt(String(id), 20)}; ids are 0–${maxTokenId}`,
        at,
      );
    }
    vocabulary.set(token, id as number);
  }
  if (vocabulary.size === 0) throw damaged("model.vocab is empty", at);
  return vocabulary;
}

function parseMerges(merges: unknown, at: string): (readonly [string, string])[] {
  if (!Array.isArray(merges)) throw damaged("model.merges must be a list", at);
  return merges.map((merge: unknown, index) => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || pair.some((part) => typeof part !== "string")) {
      throw damaged(
        `model.merges[${index}] is ${excerpt(JSON.stringify(merge), 40)}, not a pair of tokens`,
        at,
      );
    }
    return pair as [string, string];
  });
}

/** Every decoder of the family comes down to: bytes or SentencePiece text, and whether a leading space is dropped. */
function parseDecoder(
  config: unknown,
  at: string,
): { kind: TokenizerFile["decoder"]; dropsLeadingSpace: boolean } {
  const steps = flatten(config, "decoders", "decoder", at);
  const names = steps.map((one) => one.type);
  if (names.length === 0) throw damaged("decoder is missing", at);
  if (names.includes("ByteLevel")) return { kind: "byte-level", dropsLeadingSpace: false };
  for (const name of names) {
    if (!["Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"].includes(name)) {
      throw unsupported("decoder", name, "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip", at);
    }
  }
  const dropsLeadingSpace = steps.some(
    (one) =>
      (one.type === "Strip" && one["start"] === 1) ||
      (one.type === "Metaspace" && one["prepend_scheme"] !== "never" && one["add_prefix_space"] !== false),
  );
  return { kind: "sentencepiece", dropsLeadingSpace };
}

const templatePiece = z.union([
  z.object({ SpecialToken: z.object({ id: z.string() }) }),
  z.object({ Sequence: z.object({ id: z.string() }) }),
]);

function parsePostProcessor(config: unknown, at: string): { prefix: string[]; suffix: string[] } {
  const around = { prefix: [] as string[], suffix: [] as string[] };
  for (const one of flatten(config, "processors", "post_processor", at)) {
    if (one.type === "ByteLevel") continue;
    if (one.type !== "TemplateProcessing") {
      throw unsupported("post_processor", one.type, "ByteLevel, TemplateProcessing", at);
    }
    const single = check(z.array(templatePiece), one["single"], "post_processor.single", at);
    const text = single.findIndex((piece) => "Sequence" in piece);
    if (text < 0) throw damaged("post_processor.single has no Sequence", at);
    for (const [index, piece] of single.entries()) {
      if ("SpecialToken" in piece) (index < text ? around.prefix : around.suffix).push(piece.SpecialToken.id);
    }
  }
  return around;
}

/** A step or a Sequence of them, as a flat list. */
function flatten(
  config: unknown,
  children: string,
  field: string,
  at: string,
  depth = 0,
): z.infer<typeof namedStep>[] {
  if (depth > 10) throw damaged(`${field} nests Sequences more than 10 deep`, at);
  if (config === null || config === undefined) return [];
  const one = check(namedStep, config, field, at);
  if (one.type !== "Sequence") return [one];
  const inner = check(z.array(z.unknown()).max(100), one[children], `${field}.${children}`, at);
  return inner.flatMap((child) => flatten(child, children, field, at, depth + 1));
}

const normalizerNames = ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "Replace", "Strip"];
const preTokenizerNames = ["ByteLevel", "Digits", "Split", "Metaspace"];

function step<T>(
  schema: z.ZodType<T>,
  config: unknown,
  field: string,
  names: readonly string[],
  children: string,
  at: string,
): T | null {
  if (config === null || config === undefined) return null;
  const types = flatten(config, children, field, at).map((one) => one.type);
  for (const type of types) if (!names.includes(type)) throw unsupported(field, type, names.join(", "), at);
  if (types.slice(0, -1).includes("ByteLevel")) {
    throw unsupported(field, `ByteLevel, then ${types.at(-1)}`, "ByteLevel as the last step", at);
  }
  return check(schema, config, field, at);
}

export function check<T>(schema: z.ZodType<T>, value: unknown, field: string, at: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const place = [field, ...issue.path.map(String)].join(".");
  throw damaged(`${place}: ${issue.message} (${excerpt(JSON.stringify(value) ?? "nothing", 60)})`, at);
}

function damaged(problem: string, at: string): UserError {
  return new UserError(`not a usable tokenizer: ${problem}`, {
    at,
    next: "Fetch the tokenizer's files again.",
  });
}

function unsupported(field: string, value: string, supported: string, at: string): UserError {
  return new UserError(
    `the tokenizer's ${field} "${excerpt(value, 40)}" is not supported (supported: ${supported})`,
    {
      at,
      next: "Choose a LLaMA-family model with a byte-pair tokenizer.",
    },
  );
}
