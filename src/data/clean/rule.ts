/** What a cleaning rule is: its options, what it may do to a record, and what it reports. */
import type { z } from "zod";
import type { DialogueRecord, SourcePlace } from "../record.ts";
import type { TextEntry, Texts } from "./texts.ts";

/** Half-open range in UTF-16 code units of one message's content. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Where in a record something was found. */
export interface Mark extends Span {
  readonly message: number;
}

export interface RuleExample extends Span {
  readonly reason: string;
  readonly dialogueId: string;
  readonly source: SourcePlace;
  readonly role: string;
  /** The message, cut to a window around the match; `start` and `end` count within it. */
  readonly text: string;
}

export interface RuleReport {
  readonly name: string;
  /** One sentence for people. */
  readonly summary: string;
  readonly enabled: boolean;
  /** Records that reached the rule. */
  readonly seen: number;
  readonly kept: number;
  readonly rejected: number;
  /** Records kept with a change. */
  readonly changed: number;
  /** Records kept and marked for a person to look at. */
  readonly flagged: number;
  /** Replies that stay in the history but are no longer learned from. */
  readonly unsupervised: number;
  /** Events by kind, for instance each repair or each kind of personal data. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly examples: readonly RuleExample[];
  /** What only this rule knows: a histogram, clusters. Plain JSON. */
  readonly details?: unknown;
}

/** A record that a rule turned away. */
export interface Rejected {
  readonly rejected: true;
  /** A key of the report's `reasons`. */
  readonly reason: string;
  /** One sentence that names the value and the rule. */
  readonly sentence: string;
}

/** What a rule writes down while it works. */
export interface Notes {
  /** Counts an event; `mark` is called only where an example is still wanted. */
  count(reason: string, record: DialogueRecord, mark?: () => Mark): void;
  /** As `count`, and the record is kept with a flag. */
  flag(reason: string, record: DialogueRecord, mark?: () => Mark): void;
  /** As `count`, for a reply that is no longer learned from. */
  unsupervised(reason: string, record: DialogueRecord, mark?: () => Mark): void;
}

/** What rules may ask of their surroundings. */
export interface RuleServices {
  /** Tokens of a text under the model's tokeniser; needed by `replyLength.unit: tokens`. */
  readonly countTokens?: (text: string) => number;
  /** Reads a word list; errors are `UserError`s. Default: the file system. */
  readonly readText?: (path: string) => string;
}

/** A rule at work. It holds its own state and nothing else does. */
export interface RunningRule {
  /**
   * Returns the same object where nothing was changed. `entries` are those of the record's messages, in
   * order. Never throws, whatever the record holds.
   */
  apply(record: DialogueRecord, notes: Notes, entries: readonly TextEntry[]): DialogueRecord | Rejected;
  /** A look at every record before the first `apply`, where the source can be read twice. */
  observe?(record: DialogueRecord, entries: readonly TextEntry[]): void;
  details?(): unknown;
}

export interface RuleDefinition<Options> {
  readonly name: string;
  readonly summary: string;
  /**
   * `record`: looks at one record at a time and may run in any worker.
   * `corpus`: compares records and must see all of them, in order, in one place.
   */
  readonly scope: "record" | "corpus";
  readonly options: z.ZodType<Options>;
  start(options: Options, services: RuleServices, texts: Texts): RunningRule;
}

export function rejected(reason: string, sentence: string): Rejected {
  return { rejected: true, reason, sentence };
}

export function isRejected(outcome: DialogueRecord | Rejected): outcome is Rejected {
  return "rejected" in outcome;
}
