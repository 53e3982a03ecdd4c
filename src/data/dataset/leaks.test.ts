/** The leak check finds each kind of leak, counts conversations once, and prints zero for a clean split. */
import { describe, expect, it } from "vitest";
import type { Example } from "../../model/text/index.ts";
import type { Split } from "../shape/index.ts";
import { checkLeaks } from "./leaks.ts";

const words = (seed: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `w${(seed * 7919 + i * 104_729) % 99_991}`);

function conversation(dialogueId: string, text: string, answer = `answer to ${dialogueId}`): Example {
  return {
    dialogueId,
    messages: [
      { role: "user", content: text },
      { role: "assistant", content: answer },
    ],
  };
}

const check = (splits: { readonly [S in Split]: readonly Example[] }) =>
  checkLeaks(async function* (split) {
    yield* splits[split];
  });

const base = words(1, 60);

describe("checkLeaks", () => {
  it("prints zero where nothing leaks", async () => {
    const report = await check({
      train: [conversation("a", words(1, 40).join(" ")), conversation("b", words(2, 40).join(" "))],
      validation: [conversation("c", words(3, 40).join(" "))],
      test: [conversation("d", words(4, 40).join(" "))],
    });
    expect(report.counts).toEqual({
      dialogueId: 0,
      conversation: 0,
      nearDuplicate: 0,
      threshold: 0.8,
      sharedReplies: 0,
    });
  });

  it("finds an id, the same words, and nearly the same words across splits", async () => {
    const near = [...base.slice(0, 58), "other", "end"].join(" ");
    const report = await check({
      train: [
        conversation("a", words(2, 40).join(" ")),
        conversation("b", base.join(" "), "x"),
        conversation("c", base.join(" "), "x"),
      ],
      validation: [conversation("a", words(9, 40).join(" ")), conversation("v", near, "x")],
      test: [conversation("t", base.join(" ").toUpperCase(), "X!")],
    });
    expect(report.counts).toMatchObject({ dialogueId: 1, conversation: 1, nearDuplicate: 2 });
    expect(report.found.map(({ kind, dialogueId, otherId }) => [kind, dialogueId, otherId])).toEqual([
      ["nearDuplicate", "t", "v"],
      ["dialogueId", "a", "a"],
      ["conversation", "t", "b"],
      ["nearDuplicate", "v", "b"],
    ]);
    expect(report.counts.sharedReplies).toBe(0.666667);
  });

  it("does not mind duplicates inside one split, nor a shared system prompt", async () => {
    const system = { role: "system", content: words(5, 200).join(" ") } as const;
    const withSystem = (id: string, text: string): Example => ({
      ...conversation(id, text),
      messages: [system, ...conversation(id, text).messages],
    });
    const report = await check({
      train: [withSystem("a", "hello there my friend"), withSystem("b", "hello there my friend")],
      validation: [withSystem("c", "a quite different question")],
      test: [withSystem("d", "what time do you open")],
    });
    expect(report.counts).toMatchObject({ dialogueId: 0, conversation: 0, nearDuplicate: 0 });
  });

  it("sees a conversation as the union of its rows", async () => {
    // The last row of "a" holds the whole conversation of "t"; its first row alone would be harmless.
    const texts = [0, 1, 2].map((part) => base.slice(part * 20, part * 20 + 20).join(" "));
    const row = (id: string, turns: number): Example => ({
      dialogueId: id,
      turn: turns,
      messages: texts.slice(0, turns).flatMap((text, i) => [
        { role: "user" as const, content: text },
        { role: "assistant" as const, content: `ok ${i}`, ...(i + 1 < turns ? { supervised: false } : {}) },
      ]),
    });
    const report = await check({
      train: [row("a", 1), row("a", 2), row("a", 3)],
      validation: [],
      test: [{ dialogueId: "t", messages: row("t", 3).messages }],
    });
    expect(report.counts).toMatchObject({ conversation: 1, nearDuplicate: 1 });
  });

  it("names at most twenty of a kind and counts all", async () => {
    const many = (prefix: string) =>
      Array.from({ length: 50 }, (_, i) => conversation(`${prefix}${i}`, words(i, 30).join(" "), "x"));
    const report = await check({ train: many("a"), validation: [], test: many("b") });
    expect(report.counts).toMatchObject({ conversation: 50, nearDuplicate: 50 });
    expect(report.found).toHaveLength(40);
  });
});
