/** Whether prompts are what stood before the replies in training, token by token. */
import type { ConversationRenderer, Example } from "../../model/text/index.ts";
import type { TextCheck } from "./types.ts";

const most = 40;

/** `trained` is the fingerprint that the run wrote down; empty where it wrote none. */
export function checkText(
  renderer: ConversationRenderer,
  examples: readonly Example[],
  trained: string,
  defaultTemplate: boolean,
): TextCheck {
  const differing: { trained: string; prompt: string }[] = [];
  let compared = 0;
  const { tokenizer } = renderer;
  const shown = (ids: ArrayLike<number>): string =>
    tokenizer.decode(Array.from(ids), { skipSpecialTokens: false });
  for (const { messages } of examples) {
    if (compared >= most) break;
    const at = messages.findLastIndex(({ role, supervised }) => role === "assistant" && supervised !== false);
    if (at < 1 || messages[at]!.content.trim() === "") continue;
    const only = messages
      .slice(0, at + 1)
      .map((message, i) =>
        message.role === "assistant" && i < at ? { ...message, supervised: false } : message,
      );
    const [sequence] = renderer.training(only, Number.MAX_SAFE_INTEGER).sequences;
    if (sequence === undefined) continue;
    compared += 1;
    const before = sequence.ids.slice(0, sequence.targets.indexOf(1));
    const prompt = renderer.prompt(messages.slice(0, at));
    if (before.length === prompt.length && before.every((id, i) => id === prompt[i])) continue;
    differing.push({ trained: shown(before.slice(-60)), prompt: shown(prompt.slice(-60)) });
  }
  return { trained, now: renderer.fingerprint, defaultTemplate, differing, compared };
}
