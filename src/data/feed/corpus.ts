/** A corpus as token ids: documents one after another, read as sequences in which every token but a document's first is a target. */
import type { ConversationRenderer } from "../../model/text/index.ts";
import type { TextDocument } from "../read/index.ts";
import type { EncodingReport } from "./encode.ts";
import type { FeedSequence, FoldReport } from "./fold.ts";

export interface Corpus {
  /** The ids of all documents. */
  readonly ids: Int32Array;
  /** Document i is `starts[i]` up to `starts[i + 1]`: one entry more than there are documents. */
  readonly starts: readonly number[];
}

/** Puts documents into ids. A dialogue is written by the chat template; each document is closed by `endId`. */
export function documentEncoder(
  renderer: ConversationRenderer,
  endId: number | undefined,
): (document: TextDocument) => Int32Array {
  const { tokenizer } = renderer;
  const closed = (ids: ArrayLike<number>): Int32Array => {
    if (endId === undefined || ids[ids.length - 1] === endId) return Int32Array.from(ids);
    const result = new Int32Array(ids.length + 1);
    result.set(ids);
    result[ids.length] = endId;
    return result;
  };
  return (document) => {
    // What a text spells like a special token is text.
    if (document.kind === "text")
      return closed(tokenizer.encode(document.text, { addSpecialTokens: true, plain: true }));
    const { sequences } = renderer.training(document.example.messages, Number.MAX_SAFE_INTEGER);
    return closed(sequences.at(-1)?.ids ?? []);
  };
}

/** Collects documents without an array of numbers ever being as long as the corpus. */
export function corpusCollector(): {
  readonly add: (document: Int32Array) => void;
  readonly corpus: () => Corpus;
} {
  let ids = new Int32Array(1 << 16);
  const starts = [0];
  return {
    add: (document) => {
      const from = starts.at(-1)!;
      const end = from + document.length;
      if (end > ids.length) {
        const grown = new Int32Array(Math.max(2 * ids.length, end));
        grown.set(ids);
        ids = grown;
      }
      ids.set(document, from);
      starts.push(end);
    },
    corpus: () => ({ ids: ids.slice(0, starts.at(-1)), starts }),
  };
}

/**
 * The documents `from` up to `to`, cut into sequences of at most `maxLength` tokens. A piece begins with the last token of
 * the piece before it, so that cutting loses no target. No sequence holds two documents: nothing is seen across them.
 */
export function corpusSequences(
  { ids, starts }: Corpus,
  [from, to]: readonly [from: number, to: number],
  maxLength: number,
): {
  readonly sequences: readonly FeedSequence[];
  readonly encoding: EncodingReport;
  readonly folding: FoldReport;
} {
  const weights = new Float32Array(maxLength).fill(1);
  weights[0] = 0;
  const sequences: FeedSequence[] = [];
  let [tokens, cut, longestRow] = [0, 0, 0];
  for (let document = from; document < to; document++) {
    const [start, end] = [starts[document]!, starts[document + 1]!];
    if (end - start > maxLength) cut += 1;
    // A document of one token has nothing to predict.
    for (let at = start; at + 1 < end; at += maxLength - 1) {
      const piece = ids.subarray(at, Math.min(end, at + maxLength));
      sequences.push({
        ids: piece,
        weights: weights.subarray(0, piece.length),
        replies: 1,
        rows: [sequences.length],
      });
      tokens += piece.length;
      longestRow = Math.max(longestRow, piece.length);
    }
  }
  return {
    sequences,
    encoding: {
      examples: to - from,
      rows: sequences.length,
      replies: sequences.length,
      tokens,
      supervisedTokens: tokens - sequences.length,
      droppedMessages: 0,
      shortenedRows: cut,
      perReplyExamples: 0,
      longestRow,
      rejected: [],
    },
    folding: {
      rows: sequences.length,
      sequences: sequences.length,
      tokensBefore: tokens,
      tokensAfter: tokens,
      factor: 1,
    },
  };
}
