/** Training and validation set as sequences of token ids: folded dialogues, or the documents of a corpus. */
import {
  type FeedSequence,
  type FoldReport,
  type EncodingReport,
  corpusSequences,
  encodeExamples,
  foldRows,
} from "../data/feed/index.ts";
import type { ConversationRenderer } from "../model/text/index.ts";
import { UserError } from "../util/index.ts";
import type { TrainingData } from "./training-data.ts";

export interface EncodedSet {
  readonly sequences: readonly FeedSequence[];
  readonly encoding: EncodingReport;
  readonly folding: FoldReport;
}

export interface EncodedSets {
  readonly training: EncodedSet;
  /** Absent where nothing is held out. */
  readonly validation?: EncodedSet;
}

export function encodedSets(
  { training, validation, corpus }: TrainingData,
  renderer: ConversationRenderer,
  { maxLength, fold }: { readonly maxLength: number; readonly fold: boolean },
): EncodedSets {
  if (corpus !== undefined) {
    const { heldOutFrom, starts } = corpus;
    const documents = starts.length - 1;
    const learned = corpusSequences(corpus, [0, heldOutFrom], maxLength);
    if (learned.sequences.length === 0) {
      throw new UserError("the corpus holds no two tokens in a row", { next: "Give more text." });
    }
    const measured = corpusSequences(corpus, [heldOutFrom, documents], maxLength);
    return { training: learned, ...(measured.sequences.length === 0 ? {} : { validation: measured }) };
  }
  const encode = (examples: TrainingData["training"]): EncodedSet => {
    const { rows, report } = encodeExamples(examples, renderer, maxLength);
    const folded = foldRows(rows, { fold });
    return { encoding: report, folding: folded.report, sequences: folded.sequences };
  };
  return {
    training: encode(training),
    ...(validation.length === 0 ? {} : { validation: encode(validation) }),
  };
}
