/** The pre-training corpus on disk: token ids, a mask of the assistant's tokens, and where documents and sources lie. */

/*
 * corpus.bin       uint16, little endian: the ids of all documents, one after the other. A document is one whole
 *                  conversation in ChatML, closed by <|endoftext|>.
 * corpus.mask.bin  uint8, one a token: 1 where the token belongs to an assistant's reply (its <|im_end|> included).
 *                  Pre-training counts every token; the mask allows measuring or weighting the replies alone.
 * corpus.json      CorpusIndex.
 */

export const CORPUS_FILES = { ids: "corpus.bin", mask: "corpus.mask.bin", index: "corpus.json" } as const;

export interface CorpusIndex {
  readonly format: 1;
  readonly vocabulary: number;
  /** SHA-256 of the tokenizer.json that the ids belong to. */
  readonly tokenizerSha256: string;
  readonly tokens: number;
  /** Token offsets: document i is `documents[i]` up to `documents[i + 1]`; one entry more than there are documents. */
  readonly documents: readonly number[];
  readonly sources: readonly CorpusSourceIndex[];
}

export interface CorpusSourceIndex {
  readonly name: string;
  readonly licence: string;
  /** Documents `firstDocument` up to `heldOutFrom` are for training, from there up to `endDocument` held out. */
  readonly firstDocument: number;
  readonly heldOutFrom: number;
  readonly endDocument: number;
  readonly tokens: number;
  readonly heldOutTokens: number;
  readonly assistantTokens: number;
}

/** The last 2 % of a source are never trained on. */
export function splitHeldOut<T>(items: readonly T[]): {
  readonly train: readonly T[];
  readonly heldOut: readonly T[];
} {
  const from = items.length - Math.floor(items.length * 0.02);
  return { train: items.slice(0, from), heldOut: items.slice(from) };
}
