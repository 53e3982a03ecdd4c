/** Whether prompts are what stood before the replies in training, token by token. */
import { type ConversationRenderer, type Example, textSample } from "../../model/text/index.ts";
import type { TextCheck } from "./types.ts";

const most = 40;

/** What the run wrote down: a fingerprint, empty where there is none, and a sample of the text. */
export interface TrainedText {
  readonly fingerprint: string;
  readonly sample?: string;
}

export function checkText(
  renderer: ConversationRenderer,
  examples: readonly Example[],
  trained: TrainedText,
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
  return {
    trained: trained.fingerprint,
    now: renderer.fingerprint,
    defaultTemplate,
    ...(trained.sample === undefined
      ? {}
      : { sample: { trained: trained.sample, now: textSample(renderer) } }),
    differing,
    compared,
  };
}
