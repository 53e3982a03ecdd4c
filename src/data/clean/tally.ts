/** Counts of one rule, and up to five examples that show as many of its reasons as possible. */
import type { DialogueRecord } from "../record.ts";
import type { Mark, Notes, RuleExample } from "./rule.ts";

const MAX_EXAMPLES = 5;
/** Characters of a message shown around the match. */
const WINDOW = 240;
/** Distinct reasons kept apart; a rule with more has them counted together. */
const MAX_REASONS = 200;

export interface Tally extends Notes {
  seen: number;
  rejected: number;
  changed: number;
  flagged: number;
  unsupervisedReplies: number;
  readonly reasons: Map<string, number>;
  readonly examples: RuleExample[];
  /** Reasons flagged since `takeFlags` was last called. */
  takeFlags(): readonly string[];
}

const NO_FLAGS: readonly string[] = [];

/** `veil` hides what examples must not show; it keeps the length of its text. */
export function newTally(veil: (text: string) => string = (text) => text): Tally {
  let flags: string[] | undefined;
  const count = (reason: string, record: DialogueRecord, mark?: () => Mark): void => {
    const known = tally.reasons.get(reason);
    const key = known === undefined && tally.reasons.size >= MAX_REASONS ? "other" : reason;
    tally.reasons.set(key, (tally.reasons.get(key) ?? 0) + 1);
    if (mark === undefined) return;
    if (tally.examples.length < MAX_EXAMPLES) {
      tally.examples.push(example(reason, record, mark(), veil));
    } else if (known === undefined) {
      const crowded = tally.examples.findLastIndex(
        (shown) => tally.examples.filter((other) => other.reason === shown.reason).length > 1,
      );
      if (crowded >= 0) tally.examples[crowded] = example(reason, record, mark(), veil);
    }
  };
  const tally: Tally = {
    seen: 0,
    rejected: 0,
    changed: 0,
    flagged: 0,
    unsupervisedReplies: 0,
    reasons: new Map(),
    examples: [],
    count,
    flag(reason, record, mark) {
      count(reason, record, mark);
      flags ??= [];
      if (!flags.includes(reason)) flags.push(reason);
    },
    unsupervised(reason, record, mark) {
      count(reason, record, mark);
      tally.unsupervisedReplies += 1;
    },
    takeFlags() {
      const taken = flags ?? NO_FLAGS;
      flags = undefined;
      return taken;
    },
  };
  return tally;
}

function example(
  reason: string,
  record: DialogueRecord,
  mark: Mark,
  veil: (text: string) => string,
): RuleExample {
  const message = record.messages[mark.message];
  const text = veil(message?.content ?? "");
  const start = Math.min(mark.start, text.length);
  const end = Math.min(Math.max(mark.end, start), text.length, start + WINDOW);
  const room = Math.floor((WINDOW - (end - start)) / 2);
  const from = wholeCharacter(text, Math.max(0, start - room));
  const to = wholeCharacter(text, Math.min(text.length, end + room));
  return {
    reason,
    dialogueId: record.dialogueId,
    source: record.source,
    role: message?.role ?? "",
    // A copy: a slice would keep the whole row alive as long as the example.
    text: structuredClone(text.slice(from, to)),
    start: start - from,
    end: end - from,
  };
}

/** Moves an offset out of the middle of a surrogate pair. */
export function wholeCharacter(text: string, offset: number): number {
  const low = text.charCodeAt(offset);
  const high = text.charCodeAt(offset - 1);
  return (low & 0xfc00) === 0xdc00 && (high & 0xfc00) === 0xd800 ? offset - 1 : offset;
}
