/** Prompts that are cut: what goes, what stays. */
import { describe, expect, it } from "vitest";
import { fittedPrompt } from "../judge/evaluate/index.ts";
import type { Message } from "../model/text/index.ts";
import { fitPrompt } from "./responder.ts";

/** A token a message, the number in its content. */
const renderer = (keepFirstTurns?: number) => ({
  prompt: (messages: readonly Message[]) => messages.map(({ content }) => Number(content)),
  ...(keepFirstTurns === undefined ? {} : { keepFirstTurns }),
});
const messages: Message[] = [
  "system",
  "user",
  "assistant",
  "user",
  "assistant",
  "user",
  "assistant",
  "user",
].map((role, i) => ({ role: role as Message["role"], content: String(i) }));

describe.each([
  ["fittedPrompt", fittedPrompt],
  ["fitPrompt", fitPrompt],
] as const)("%s", (_, fit) => {
  it.each([
    [undefined, 8, [0, 1, 2, 3, 4, 5, 6, 7], 0],
    [undefined, 7, [0, 3, 4, 5, 6, 7], 2],
    [undefined, 2, [0, 7], 6],
    [1, 8, [0, 1, 2, 3, 4, 5, 6, 7], 0],
    [1, 7, [0, 1, 2, 5, 6, 7], 2],
    [1, 4, [0, 1, 2, 7], 4],
    [2, 7, [0, 1, 2, 3, 4, 7], 2],
    // The first turns leave no room for the last.
    [2, 5, [0, 5, 6, 7], 4],
    [1, 2, [0, 7], 6],
    [9, 4, [0, 5, 6, 7], 4],
  ])("with %s first turns and room for %i", (first, room, ids, dropped) => {
    expect(fit(renderer(first), messages, room)).toEqual({ ids, dropped });
  });
});
