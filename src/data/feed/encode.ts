/** Examples to rows of token ids; what cannot be learned is reported, never cut or dropped in silence. */
import type { ConversationRenderer, Example } from "../../model/text/index.ts";
import { UserError } from "../../util/index.ts";

/** One sequence before folding. */
export interface EncodedRow {
  readonly dialogueId: string;
  /** [T] */
  readonly ids: Int32Array;
  /** [T], 1 where the token is a target. */
  readonly targets: Uint8Array;
  /** How many replies are supervised here; a batch counts them. */
  readonly replies: number;
  /** Multiplies the loss of every target of this row. */
  readonly weight: number;
  /** Which example (index) it came from. */
  readonly example: number;
}

export interface UnlearnedExample {
  readonly example: number;
  readonly dialogueId: string;
  /** The message it is about, where it is about one. */
  readonly message?: number;
  readonly rule: "reply-too-long" | "reply-empty" | "reply-unasked" | "template" | "weight";
  readonly reason: string;
}

export interface EncodingReport {
  readonly examples: number;
  readonly rows: number;
  readonly replies: number;
  readonly tokens: number;
  readonly supervisedTokens: number;
  /** Messages left out in front of rows that were too long, and how many rows those are. */
  readonly droppedMessages: number;
  readonly shortenedRows: number;
  /** Examples whose replies each needed a row of their own, because the template rewrites earlier turns. */
  readonly perReplyExamples: number;
  readonly longestRow: number;
  readonly rejected: readonly UnlearnedExample[];
}

export interface EncodedExamples {
  readonly rows: readonly EncodedRow[];
  readonly report: EncodingReport;
}

/** Throws a `UserError` when nothing at all can be learned. */
export function encodeExamples(
  examples: Iterable<Example>,
  renderer: ConversationRenderer,
  maxTokens: number,
): EncodedExamples {
  const rows: EncodedRow[] = [];
  const rejected: UnlearnedExample[] = [];
  const counts = { replies: 0, tokens: 0, supervisedTokens: 0, longestRow: 0 };
  const shortening = { droppedMessages: 0, shortenedRows: 0, perReplyExamples: 0 };
  let count = 0;
  for (const example of examples) {
    const index = count++;
    const { dialogueId, weight = 1 } = example;
    const reject = (entry: Omit<UnlearnedExample, "example" | "dialogueId">): void => {
      rejected.push({ example: index, dialogueId, ...entry });
    };
    if (!(weight > 0 && Number.isFinite(weight))) {
      reject({ rule: "weight", reason: `its weight is ${weight}; a weight is a number above 0` });
      continue;
    }
    let rendered: ReturnType<ConversationRenderer["training"]>;
    try {
      rendered = renderer.training(example.messages, maxTokens);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reject({ rule: "template", reason: error.message });
      continue;
    }
    for (const reply of rendered.rejected) reject(reply);
    shortening.droppedMessages += rendered.droppedMessages;
    shortening.shortenedRows += rendered.shortened;
    shortening.perReplyExamples += rendered.perReply ? 1 : 0;
    for (const { ids, targets, replies } of rendered.sequences) {
      rows.push({ dialogueId, ids, targets, replies: replies.length, weight, example: index });
      counts.replies += replies.length;
      counts.tokens += ids.length;
      counts.supervisedTokens += targets.reduce((sum, target) => sum + target, 0);
      counts.longestRow = Math.max(counts.longestRow, ids.length);
    }
  }
  if (rows.length === 0) throw nothingToLearn(count, rejected);
  return { rows, report: { examples: count, rows: rows.length, ...counts, ...shortening, rejected } };
}

function nothingToLearn(examples: number, rejected: readonly UnlearnedExample[]): UserError {
  const first = rejected[0];
  if (first === undefined) {
    return new UserError("there are no examples to train on", {
      next: "Check that the data files are not empty.",
    });
  }
  return new UserError(
    `none of the ${examples} examples can be learned; the first (dialogue ${first.dialogueId}): ${first.reason}`,
    { next: first.rule === "reply-too-long" ? "Raise the maximum length." : "Mend the data." },
  );
}
