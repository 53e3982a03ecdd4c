/** Prompts that fit: whole oldest turns go first, as in training; system messages and the last turn stay. */
import type { ConversationRenderer, Message } from "../../model/text/index.ts";

export interface FittedPrompt {
  readonly ids: readonly number[];
  /** Messages left out in front. */
  readonly dropped: number;
}

/** `undefined` when even the last turn alone has more than `maxTokens`. */
export function fittedPrompt(
  renderer: Pick<ConversationRenderer, "prompt">,
  messages: readonly Message[],
  maxTokens: number,
): FittedPrompt | undefined {
  const whole = renderer.prompt(messages);
  if (whole.length <= maxTokens) return { ids: whole, dropped: 0 };
  const system = messages.findIndex(({ role }) => role !== "system");
  const starts = [...messages.keys()].filter(
    (at) => at > system && messages[at]!.role === "user" && messages[at - 1]!.role !== "user",
  );
  for (const start of starts) {
    const ids = renderer.prompt([...messages.slice(0, system), ...messages.slice(start)]);
    if (ids.length <= maxTokens) return { ids, dropped: start - system };
  }
  return undefined;
}
