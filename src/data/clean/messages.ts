/** Small things that several rules do with messages. */
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { type Mark, type Notes, type Rejected, rejected } from "./rule.ts";

export function isSupervised(message: RecordMessage): boolean {
  return message.role === "assistant" && message.supervised !== false;
}

/** The record with one message's content replaced, everything else shared. */
export function withContent(message: RecordMessage, content: string): RecordMessage {
  return content === message.content ? message : { ...message, content };
}

/** The whole message as a mark. */
export function wholeMessage(record: DialogueRecord, message: number): Mark {
  return { message, start: 0, end: record.messages[message]?.content.length ?? 0 };
}

export interface ReplyProblem {
  readonly message: number;
  readonly reason: string;
  /** One sentence that names the value and the rule; written only where it is needed. */
  readonly sentence: () => string;
}

/**
 * Makes the replies named by `problems` history only. A record in which nothing is left to learn from, or
 * any such record when `mode` is `reject`, is turned away.
 */
export function withoutReplies(
  record: DialogueRecord,
  problems: readonly ReplyProblem[],
  mode: "reject" | "context-only",
  notes: Notes,
): DialogueRecord | Rejected {
  const first = problems[0];
  if (first === undefined) return record;
  const dropped = new Set(problems.map((problem) => problem.message));
  const left = record.messages.some((message, index) => isSupervised(message) && !dropped.has(index));
  if (mode === "reject" || !left) {
    notes.count(first.reason, record, () => wholeMessage(record, first.message));
    return rejected(first.reason, first.sentence());
  }
  for (const problem of problems) {
    notes.unsupervised(problem.reason, record, () => wholeMessage(record, problem.message));
  }
  return {
    ...record,
    messages: record.messages.map((message, index) =>
      dropped.has(index) ? { ...message, supervised: false } : message,
    ),
  };
}
