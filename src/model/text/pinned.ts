/** What of a conversation stays when older turns must go: its system messages, and its first exchanges if so wished. */
import type { Message } from "./conversation.ts";

/** System messages in front. */
export function leadingSystem(messages: readonly Message[]): number {
  const first = messages.findIndex((message) => message.role !== "system");
  return first < 0 ? messages.length : first;
}

/** Whether a user's turn begins here; several messages in a row are one turn. */
export function isTurnStart(messages: readonly Message[], index: number): boolean {
  return messages[index]!.role === "user" && messages[index - 1]?.role !== "user";
}

/**
 * Messages in front that are never left out: system messages, then `firstTurns` exchanges with what opens the
 * conversation before them. The whole length where there are no more exchanges than that.
 */
export function pinnedMessages(messages: readonly Message[], firstTurns: number): number {
  const system = leadingSystem(messages);
  if (firstTurns === 0) return system;
  const starts = [...messages.keys()].filter((index) => index >= system && isTurnStart(messages, index));
  return starts[firstTurns] ?? messages.length;
}
