/** A short conversation as a renderer writes it: what people compare when template or tokens are not what they were. */
import type { Message } from "./conversation.ts";
import type { ConversationRenderer } from "./render.ts";

const conversation: readonly Message[] = [
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Good morning" },
  { role: "user", content: "Where is my order?" },
];

/** The prompt of a fixed conversation with every special token in it, and the tokens that end a reply. */
export function textSample({ prompt, tokenizer, stopIds }: ConversationRenderer): string {
  const shown = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecialTokens: false });
  return `${shown(prompt(conversation))}⟨reply⟩${stopIds.map((id) => shown([id])).join(" or ")}`;
}
