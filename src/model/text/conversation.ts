/** A conversation as training and serving see it: messages, and which of them are to be learned. */

export type Role = "system" | "user" | "assistant" | "tool";

export interface Message {
  readonly role: Role;
  readonly content: string;
  /** `false` on an assistant message: history only, never a target. Absent means supervised. */
  readonly supervised?: boolean;
}

/**
 * One training example. A row of the native format (`context`, `response`) supervises its response alone:
 * the assistant messages of its context carry `supervised: false`. A whole conversation supervises every
 * assistant message.
 */
export interface Example {
  /** Rows with one id belong to one conversation: they are split and folded together. */
  readonly dialogueId: string;
  readonly messages: readonly Message[];
  /** The class that balancing and stratifying use; absent where the source names none. */
  readonly intent?: string;
  /** Position of the supervised reply in its dialogue, where the source gives one row a reply. */
  readonly turn?: number;
  /** Multiplies the loss of this example's supervised tokens; absent means 1. */
  readonly weight?: number;
}
