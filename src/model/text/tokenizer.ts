/** Text to token ids and back, with the same ids as Hugging Face's tokenizers. */
import { UserError, excerpt } from "../../util/index.ts";
import { type FoundToken, type Span, tokenFinder } from "./added-tokens.ts";
import { type Bpe, bpe } from "./bpe.ts";
import { normalizer } from "./normalize.ts";
import { toByteAlphabet } from "./byte-alphabet.ts";
import { type PiecePlace, isByteLevel, preTokenizer, space } from "./pre-tokenize.ts";
import { type DecodeOptions, type StreamDecoder, tokenDecoder } from "./token-bytes.ts";
import { type AddedToken, type TokenizerFile, maxTokenId } from "./tokenizer-json.ts";

export interface EncodeOptions {
  /** Puts what the tokenizer's own rule puts around a text, such as BOS. Default false: chat templates write it themselves. */
  readonly addSpecialTokens?: boolean;
  /**
   * Text whose special-token strings are to stay text: all of it, or these spans in order. What users type
   * goes in here, so that a typed `<|im_end|>` ends no turn.
   */
  readonly plain?: boolean | readonly Span[];
}

export interface SegmentedIds {
  readonly ids: number[];
  /** For every cut the number of ids before it. */
  readonly cuts: number[];
}

export interface Tokenizer {
  /** One more than the highest id. A model's embedding may have more rows than this, never fewer. */
  readonly vocabularySize: number;
  readonly specialIds: ReadonlySet<number>;
  /** The special tokens' texts with their ids, in id order. */
  readonly specialTokens: readonly { readonly id: number; readonly content: string }[];
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly paddingId: number | undefined;
  readonly unknownId: number | undefined;
  /** Whether `addSpecialTokens` opens a text with BOS. */
  readonly addsBos: boolean;
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Encodes so that no token reaches across a cut (character offsets, ascending): the ids before a cut
   * do not depend on what follows it.
   */
  encodeSegments(text: string, cuts: readonly number[], options?: EncodeOptions): SegmentedIds;
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  stream(options?: DecodeOptions): StreamDecoder;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** The first special token in `text` outside the `plain` spans, with its offsets. */
  findSpecial(text: string, plain: readonly Span[]): FoundToken | undefined;
  /** What it was made from, for writing it to files. */
  readonly definition: TokenizerDefinition;
  /** This tokenizer with `text` as a special token. `isNew`: the vocabulary grew by one row. */
  withToken(text: string): { readonly tokenizer: Tokenizer; readonly id: number; readonly isNew: boolean };
}

/** A tokenizer file with the roles that tokens play in it. */
export interface TokenizerDefinition extends TokenizerFile {
  /** By id; where two tokens share a text, `model.vocabulary` names the one that encoding gives. */
  readonly tokens: readonly (string | undefined)[];
  readonly bosId?: number;
  readonly eosId?: number;
  readonly paddingId?: number;
  readonly unknownId?: number;
}

export function createTokenizer(definition: TokenizerDefinition): Tokenizer {
  return assemble(definition, wordModel(definition));
}

function wordModel({ model, pre_tokenizer: words }: TokenizerDefinition): Bpe {
  const { vocabulary, merges, unknownToken, fuseUnknown, byteFallback, ignoreMerges } = model;
  const unknownId = unknownToken === undefined ? undefined : vocabulary.get(unknownToken);
  return bpe({
    vocabulary,
    merges,
    fuseUnknown,
    byteFallback,
    ignoreMerges,
    ...(unknownId === undefined ? {} : { unknownId }),
    ...(isByteLevel(words) ? { spelling: toByteAlphabet } : {}),
  });
}

const cachedPartLength = 1_000;
const cachedParts = 10_000;

/** `words` is shared by the tokenizers that `withToken` makes: added tokens never reach it. */
function assemble(definition: TokenizerDefinition, words: Bpe): Tokenizer {
  const { tokens, model } = definition;
  const added = definition.added_tokens;
  const special = added.filter((token) => token.special).sort((a, b) => a.id - b.id);
  const specialIds = new Set(special.map((token) => token.id));
  const addedIds = new Map(added.toReversed().map((token) => [token.content, token.id]));
  const normalize = definition.normalizer === null ? undefined : normalizer(definition.normalizer);
  const cutWords = wordCutter(definition, words);
  // Special tokens are looked for before normalizing, whatever the file says: a normal form must not forge one.
  const early = tokenFinder(added.filter((token) => token.special || !token.normalized));
  const late = tokenFinder(
    added.filter((token) => !token.special && token.normalized),
    (token) => normalize?.(token.content, true) ?? token.content,
  );
  const idOf = (token: string): number | undefined => addedIds.get(token) ?? model.vocabulary.get(token);
  const around = { prefix: idsOf(definition.prefix, idOf), suffix: idsOf(definition.suffix, idOf) };
  const decoder = tokenDecoder(tokens, new Set(added.map((token) => token.id)), specialIds, definition);

  const computePart = (part: string, place: PiecePlace): number[] => {
    const ids: number[] = [];
    const text = normalize?.(part, place.opensSection) ?? part;
    let from = 0;
    for (const token of late.find(text, [])) {
      cutWords(text.slice(from, token.start), place, ids);
      ids.push(token.id);
      from = token.end;
    }
    cutWords(from === 0 ? text : text.slice(from), from === 0 ? place : { ...place, opensText: false }, ids);
    return ids;
  };

  // Rows of one conversation repeat their turns, and templates their own words.
  const partCache = new Map<string, readonly number[]>();
  const encodePart = (part: string, place: PiecePlace, ids: number[]): void => {
    const key = place.opensText ? `2${part}` : place.opensSection ? `1${part}` : `0${part}`;
    let known = partCache.get(key);
    if (known === undefined) {
      known = computePart(part, place);
      if (part.length <= cachedPartLength) {
        if (partCache.size >= cachedParts) partCache.clear();
        partCache.set(key, known);
      }
    }
    for (const id of known) ids.push(id);
  };

  const encodeSegments: Tokenizer["encodeSegments"] = (text, cuts, options = {}) => {
    const ids: number[] = options.addSpecialTokens === true ? [...around.prefix] : [];
    const reached: number[] = [];
    const plain = options.plain === true ? "all" : options.plain === false ? [] : (options.plain ?? []);
    const passCuts = (position: number): void => {
      while (reached.length < cuts.length && cuts[reached.length]! <= position) reached.push(ids.length);
    };
    const encodeSection = (start: number, end: number): void => {
      let from = start;
      while (from < end) {
        passCuts(from);
        const to = Math.min(end, cuts[reached.length] ?? end);
        encodePart(text.slice(from, to), { opensSection: from === start, opensText: from === 0 }, ids);
        from = to;
      }
    };
    let from = 0;
    for (const token of early.find(text, plain)) {
      encodeSection(from, token.start);
      passCuts(token.start);
      ids.push(token.id);
      from = token.end;
    }
    encodeSection(from, text.length);
    passCuts(text.length);
    if (options.addSpecialTokens === true) ids.push(...around.suffix);
    return { ids, cuts: reached };
  };

  return {
    vocabularySize: tokens.length,
    specialIds,
    specialTokens: special.map(({ id, content }) => ({ id, content })),
    bosId: definition.bosId,
    eosId: definition.eosId,
    paddingId: definition.paddingId,
    unknownId: definition.unknownId,
    addsBos: definition.bosId !== undefined && around.prefix[0] === definition.bosId,
    encode: (text, options) => encodeSegments(text, [], options).ids,
    encodeSegments,
    decode: decoder.decode,
    stream: decoder.stream,
    idOf,
    tokenOf: (id) => tokens[id],
    findSpecial: (text, plain) => early.find(text, plain).find((token) => specialIds.has(token.id)),
    definition,
    withToken: (text) => addToken(definition, words, text, idOf(text)),
  };
}

function addToken(
  definition: TokenizerDefinition,
  words: Bpe,
  text: string,
  present: number | undefined,
): ReturnType<Tokenizer["withToken"]> {
  if (text.trim() === "") {
    throw new UserError(`a token must have a visible character: ${JSON.stringify(text)} has none`, {
      next: "Choose a string such as <sep>.",
    });
  }
  const id = present ?? definition.tokens.length;
  if (id > maxTokenId) throw new UserError(`the vocabulary is full: no id is left for ${excerpt(text, 40)}`);
  const token: AddedToken = {
    id,
    content: text,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
  const tokens = [...definition.tokens];
  tokens[id] = text;
  const others = definition.added_tokens.filter((other) => other.content !== text);
  const grown: TokenizerDefinition = { ...definition, tokens, added_tokens: [...others, token] };
  return { tokenizer: assemble(grown, words), id, isNew: present === undefined };
}

/** Pre-tokenizes a text and encodes its words. */
function wordCutter(
  { pre_tokenizer: config, model, decoder }: TokenizerDefinition,
  words: Bpe,
): (text: string, place: PiecePlace, ids: number[]) => void {
  const cut = config === null ? undefined : preTokenizer(config);
  // SentencePiece takes a whole text as one word; where no merge joins across a space, shorter words give the same ids.
  const atSpaces =
    decoder === "sentencepiece" &&
    !model.ignoreMerges &&
    model.vocabulary.has(space) &&
    !words.mergesAcross(space);
  const spaced = new RegExp(`${space}+[^${space}]*|[^${space}]+`, "gu");
  return (text, place, ids) => {
    if (text === "") return;
    for (const word of cut === undefined ? [text] : cut([text], place)) {
      if (!atSpaces || word.length < 16) words.encodeWord(word, ids);
      else for (const piece of word.match(spaced) ?? []) words.encodeWord(piece, ids);
    }
  };
}

function idsOf(texts: readonly string[], idOf: (text: string) => number | undefined): number[] {
  return texts.map((text) => {
    const id = idOf(text);
    if (id === undefined) {
      throw new UserError(`the tokenizer adds the token ${excerpt(text, 40)}, which its vocabulary lacks`, {
        next: "Fetch the tokenizer's files again.",
      });
    }
    return id;
  });
}
