/** Prompts that fit: whole oldest turns go first, as in training; system messages, kept first turns and the last turn stay. */
import {
  type ConversationRenderer,
  type Message,
  leadingSystem,
  pinnedMessages,
} from "../../model/text/index.ts";

export interface FittedPrompt {
  readonly ids: readonly number[];
  /** Messages left out in front. */
  readonly dropped: number;
}

/** `undefined` when even the last turn alone has more than `maxTokens`. */
export function fittedPrompt(
  renderer: Pick<ConversationRenderer, "prompt"> & Partial<Pick<ConversationRenderer, "keepFirstTurns">>,
  messages: readonly Message[],
  maxTokens: number,
): FittedPrompt | undefined {
  const whole = renderer.prompt(messages);
  if (whole.length <= maxTokens) return { ids: whole, dropped: 0 };
  const system = leadingSystem(messages);
  // Where the last turn has no room beside the first ones, those go too.
  for (const pinned of new Set([pinnedMessages(messages, renderer.keepFirstTurns ?? 0), system])) {
    const starts = [...messages.keys()].filter(
      (at) => at > pinned && messages[at]!.role === "user" && messages[at - 1]!.role !== "user",
    );
    for (const start of starts) {
      const ids = renderer.prompt([...messages.slice(0, pinned), ...messages.slice(start)]);
      if (ids.length <= maxTokens) return { ids, dropped: start - pinned };
    }
  }
  return undefined;
}
